import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import kendalltau, spearmanr

from narsfast.common.label_noise import LabelNoise
from narsfast.errors import UserError
from narsfast.search import decide_early_stopping, early_stop_epoch
from narsfast.search._early_stopping import MIN_RELIABILITY, without_noise

FINAL = np.array([10.0, 20, 30, 40, 50, 60])


def curves(*columns):
    return np.stack([*columns, FINAL], axis=1)


def test_first_epoch_that_ranks_like_the_last_is_found():
    wrong, right = FINAL[::-1], FINAL / 2
    assert early_stop_epoch(curves(wrong, right, wrong)) == 2
    assert early_stop_epoch(curves(wrong, wrong, wrong)) == 4
    assert early_stop_epoch(curves(right)) == 1


def test_threshold_determines_the_epoch():
    swapped = np.array([10.0, 20, 30, 40, 60, 50])  # Spearman 0.943, Kendall 0.867
    assert early_stop_epoch(curves(swapped, FINAL), threshold=0.94, correlation="spearman") == 1
    assert early_stop_epoch(curves(swapped, FINAL), threshold=0.95, correlation="spearman") == 2
    assert early_stop_epoch(curves(swapped, FINAL), threshold=0.86) == 1
    assert early_stop_epoch(curves(swapped, FINAL)) == 2


@pytest.mark.parametrize(("correlation", "count"), [("kendall", 6), ("kendall", 10), ("spearman", 10)])
def test_threshold_one_is_reached_despite_rounding(correlation, count):
    """Of so many equally ranked curves, the correlation is the last number below 1."""
    final = np.arange(float(count))
    measure = {"spearman": spearmanr, "kendall": kendalltau}[correlation]
    assert 1 - 1e-9 < measure(final * 0.3, final).statistic < 1
    found = early_stop_epoch(np.stack([final * 0.3, final], axis=1), threshold=1.0, correlation=correlation)
    assert found == 1


@pytest.mark.parametrize(
    "unclear",
    [np.zeros((0, 5)), np.ones((1, 5)), np.outer(np.arange(5.0), [1, 2, 3]), np.full((6, 3), 11.0)],
)
def test_last_epoch_is_returned_without_a_correlation(unclear):
    assert early_stop_epoch(unclear) == unclear.shape[1]


def test_epochs_of_equal_accuracies_are_skipped():
    assert early_stop_epoch(curves(np.full(6, 10.0), FINAL, FINAL)) == 2


@given(
    arrays(float, st.tuples(st.integers(6, 9), st.integers(1, 6)), elements=st.integers(0, 20).map(float)),
    st.sampled_from(["spearman", "kendall"]),
    st.sampled_from([0.5, 0.92]),
)
def test_no_earlier_epoch_reaches_the_threshold(accuracy, correlation, threshold):
    measure = {"spearman": spearmanr, "kendall": kendalltau}[correlation]
    epoch = early_stop_epoch(accuracy, threshold, correlation)
    final = accuracy[:, -1]
    reached = [
        np.ptp(column) > 0 and np.ptp(final) > 0 and measure(column, final).statistic >= threshold - 1e-9
        for column in accuracy.T
    ]
    assert not any(reached[: epoch - 1])
    assert epoch == accuracy.shape[1] or reached[epoch - 1]


def test_wrong_threshold_and_correlation_are_refused():
    for threshold in (0, 1.5, float("nan")):
        with pytest.raises(UserError, match="threshold"):
            early_stop_epoch(curves(FINAL), threshold)
    with pytest.raises(UserError, match="pearson"):
        early_stop_epoch(curves(FINAL), correlation="pearson")


NONE_AT_ALL = LabelNoise(images=1, seed_deviation=0.0, sampling_share=0.0)


@settings(max_examples=30, deadline=None)
@given(
    arrays(float, st.tuples(st.integers(5, 9), st.integers(1, 4)), elements=st.floats(0, 100)),
    st.sampled_from(["spearman", "kendall"]),
    st.sampled_from([0.5, 0.92, 1.0]),
)
def test_without_noise_the_rule_is_the_plain_one_to_the_last_bit(accuracy, correlation, threshold):
    plain = decide_early_stopping(accuracy, threshold, correlation)
    noiseless = decide_early_stopping(accuracy, threshold, correlation, NONE_AT_ALL)
    assert noiseless.epoch == plain.epoch
    assert (noiseless.reason, noiseless.observed) == (plain.reason, plain.observed)
    assert noiseless.corrected == plain.corrected == plain.observed


@given(
    st.floats(-1, 1),
    st.floats(0.01, 1),
    st.sampled_from(["spearman", "kendall"]),
)
def test_correction_moves_correlations_away_from_zero(value, reliability, correlation):
    found = without_noise(value, reliability, correlation)
    assert -1 <= found <= 1
    assert abs(found) >= abs(value) - 1e-12
    assert found * value >= 0


def simulated(count, true_correlation, spread, noise, seed):
    """Return labels of an epoch and of the last one, whose true correlation and noise are known, around 75 %."""
    random = np.random.default_rng(seed)
    last = random.normal(size=count)
    epoch = true_correlation * last + np.sqrt(1 - true_correlation**2) * random.normal(size=count)
    both = 75 + spread * np.stack([epoch, last], axis=1)
    return both, both + noise * random.normal(size=(count, 2))


@pytest.mark.parametrize("correlation", ["kendall", "spearman"])
@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0])
def test_correction_recovers_the_correlation_of_the_truth(correlation, noise):
    """By 4,000 curves the error of a correlation is 0.01; the noisy one is far below."""
    measure = {"spearman": spearmanr, "kendall": kendalltau}[correlation]
    truth, labels = simulated(4000, 0.9, 4.0, noise, seed=3)
    known = LabelNoise(images=341, seed_deviation=noise, sampling_share=0.0)
    found = decide_early_stopping(labels, 1.0, correlation, known)
    assert found.reliability == pytest.approx([16 / (16 + noise**2)] * 2, abs=0.02)
    assert found.corrected[0] == pytest.approx(measure(*truth.T).statistic, abs=0.03)
    if noise >= 1:
        assert found.observed[0] < found.corrected[0] - 0.03


def test_epoch_that_only_noise_hides_is_found():
    """Of 24 candidates that epoch 1 ranks as the last one does, noisy labels agree by less than 0.92."""
    truth = np.linspace(60, 84, 24)
    noise = LabelNoise(images=341, seed_deviation=2.0, sampling_share=0.0)
    found = []
    for seed in range(8):
        labels = truth[:, None] + 2 * np.random.default_rng(seed).normal(size=(24, 3))
        plain, corrected = decide_early_stopping(labels), decide_early_stopping(labels, noise=noise)
        assert (plain.epoch, plain.reason, plain.observed) == (3, "not_reached", corrected.observed)
        assert corrected.reason == "reached"
        found.append(corrected.epoch)
    assert found.count(1) >= 7


def test_labels_that_are_mostly_noise_decide_nothing():
    """All epochs rank alike, but candidates are hardly further apart than the same one trained again."""
    labels = np.outer(74 + np.arange(8.0) / 2, np.ones(4))
    assert decide_early_stopping(labels).epoch == 1
    found = decide_early_stopping(labels, noise=LabelNoise(images=341))
    assert (found.epoch, found.reason) == (4, "noise")
    assert found.reliability[-1] < MIN_RELIABILITY
    assert found.deviation == pytest.approx(np.sqrt(1.33**2 + 0.6 * 1e4 * 0.757 * 0.243 / 341), abs=0.02)
    assert found.spread == pytest.approx(labels[:, -1].std(ddof=1))


def test_epoch_whose_own_labels_are_mostly_noise_is_passed_over():
    final = 40 + 6 * np.arange(8.0)
    labels = np.stack([50 + final / 100, final / 2, final], axis=1)
    assert decide_early_stopping(labels).epoch == 1
    found = decide_early_stopping(labels, noise=LabelNoise(images=341))
    assert (found.epoch, found.reason) == (2, "reached")
    assert found.corrected[0] is None  # less spread than noise


@pytest.mark.parametrize("noise", [1.0, 2.0])
def test_noise_does_not_make_early_stopping_cost_more(noise):
    """Labels at the epoch chosen agree with the truth nearly as well as those of the last epoch.

    Without noise the rule costs 0.04 in Kendall's tau with these curves. Half of the noise of an epoch is shared by all.
    """
    random = np.random.default_rng(7)
    known = LabelNoise(images=341, seed_deviation=noise, sampling_share=0.0)
    lost = []
    for _ in range(100):
        truth, shared = random.normal(size=(2, 8))
        like_last = np.array([0.3, 0.5, 0.7, 0.85, 0.93, 0.97, 0.99, 1.0])
        own = np.outer(truth, like_last) + np.sqrt(1 - like_last**2) * random.normal(size=(8, 8))
        disturbed = np.sqrt(0.5) * (shared[:, None] + random.normal(size=(8, 8)))
        labels = 75 + 4 * own + noise * disturbed
        epoch = decide_early_stopping(labels, noise=known).epoch
        at = [kendalltau(labels[:, column - 1], truth).statistic for column in (8, epoch)]
        lost.append(at[0] - at[1])
    assert np.mean(lost) < 0.08


@pytest.mark.parametrize(
    ("curves", "noise", "said"),
    [
        (curves(FINAL / 2), None, "end at epoch 1: it ranks the first batch like the last epoch, with"),
        (curves(FINAL / 2), None, "Kendall's tau 1.00 (threshold 0.92)."),
        (
            curves(FINAL[::-1]),
            None,
            "no earlier epoch ranks the first batch like the last one; epoch 1 comes",
        ),
        (FINAL[:, None], None, "not stopped early: there is no earlier epoch"),
        (np.full((6, 3), 11.0), None, "all trainings of the first batch ended at the same accuracy"),
        (curves(FINAL)[:3], None, "3 trainings of the first batch reached the last epoch, too few"),
        (
            curves(FINAL / 2) / 100 + 50,
            LabelNoise(300),
            "labels vary by 0.2 points between candidates and by 2.6",
        ),
        (
            np.stack([FINAL[[0, 1, 2, 3, 5, 4]], FINAL], axis=1),
            LabelNoise(300, seed_deviation=6.0, sampling_share=0.0),
            "Kendall's tau 0.87, 1.00 without the noise of the labels",
        ),
    ],
)
def test_decision_is_one_sentence(curves, noise, said):
    sentence = decide_early_stopping(curves, noise=noise).sentence()
    assert said in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
