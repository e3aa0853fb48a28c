import numpy as np
import pytest
from scipy.stats import kendalltau

from narsfast.common.trial import EpochMetrics, Trial
from narsfast.search import standings


def trial(curve, entropies=(), name="c"):
    metrics = EpochMetrics(cross_entropy=tuple(entropies))
    return Trial(name, tuple(curve), "ok", len(curve), 1.0, metrics=metrics)


def test_a_trial_alone_is_worth_its_last_epochs():
    (long,) = standings([trial([50.0] * 17 + [70.0, 74.0, 72.0] + [80.0, 84.0])], images=341)
    assert long.accuracy == 82.0  # of 22 epochs the last two
    (short,) = standings([trial([50.0, 60.0, 75.0], [1.0, 0.9, 0.8])], images=341)
    assert short.accuracy == 75.0
    assert short.deviation == pytest.approx(100 * np.sqrt(0.6 * 0.75 * 0.25 / 341))


def test_without_cross_entropies_accuracies_count_alone():
    trials = [trial([accuracy]) for accuracy in (70.0, 80.0, 75.0, 60.0)]
    assert [found.accuracy for found in standings(trials, 341)] == [70.0, 80.0, 75.0, 60.0]


def test_of_two_equal_accuracies_the_lower_cross_entropy_stands_higher():
    worse = ((60.0, 1.4), (63.0, 1.3), (66.0, 1.2), (69.0, 1.1), (72.0, 1.0))
    others = [trial([accuracy], [entropy]) for accuracy, entropy in (*worse, (80.0, 0.7))]
    sure, unsure = standings([trial([75.0], [0.85]), trial([75.0], [0.95]), *others], 341)[:2]
    assert sure.accuracy > unsure.accuracy
    assert sure.deviation < 100 * np.sqrt(0.6 * 0.75 * 0.25 / 341)


def test_a_trial_without_a_cross_entropy_keeps_its_accuracy():
    known = [trial([60.0 + i], [1.4 - i / 50]) for i in range(5)]
    for unknown in (trial([70.0]), trial([70.0], [None]), trial([70.0], [0.0])):
        found = standings([*known, unknown], 341)
        assert found[-1].accuracy == 70.0
        assert [f.accuracy for f in found[:-1]] == [f.accuracy for f in standings(known, 341)]


def test_cross_entropy_that_contradicts_is_left_aside():
    """Accuracy does not rise with the cross-entropy: the order stays that of the accuracies."""
    found = standings([trial([70.0 + 3 * i], [1.0 + i / 10]) for i in range(6)], 341)
    assert np.argsort([f.accuracy for f in found]).tolist() == list(range(6))


def test_many_images_leave_accuracies_as_they_are():
    random = np.random.default_rng(0)
    accuracies = random.uniform(60, 80, 8)
    trials = [trial([accuracy], [random.uniform(0.8, 1.2)]) for accuracy in accuracies]
    found = [f.accuracy for f in standings(trials, 10**9)]
    assert found == pytest.approx(accuracies, abs=1e-3)


def test_equal_trials_and_perfect_accuracies_have_standings():
    for accuracy, entropy in ((75.0, 1.0), (100.0, 0.001)):
        found = standings([trial([accuracy], [entropy])] * 4, 341)
        assert [f.accuracy for f in found] == [accuracy] * 4


def test_a_trial_without_an_epoch_is_refused():
    with pytest.raises(ValueError, match="candidate bad has no epoch"):
        standings([trial([50.0]), trial([], name="bad")], 341)


def test_standings_order_networks_better_than_accuracies_do():
    """Networks answer 200 of many images; how sure they are of an answer says what they are worth, as in real ones."""
    random = np.random.default_rng(1)
    taus = []
    for _ in range(200):
        worth = random.normal(0.8, 0.12, 8)  # how far the right class is ahead
        margins = worth[:, None] + random.normal(size=(8, 200))
        accuracies = 100 * (margins > 0).mean(axis=1)
        entropies = np.log1p(np.exp(-2 * margins)).mean(axis=1)
        trials = [trial([a], [e]) for a, e in zip(accuracies, entropies, strict=True)]
        found = [f.accuracy for f in standings(trials, 200)]
        taus.append([kendalltau(worth, estimate).statistic for estimate in (accuracies, found)])
    gain = np.subtract(*np.transpose(taus)[::-1])
    assert gain.mean() > 3 * gain.std(ddof=1) / np.sqrt(len(gain)) > 0


def test_deviations_are_those_of_the_errors():
    random = np.random.default_rng(2)
    squares = []
    for _ in range(60):
        worth = random.normal(75, 4, 8)
        entropies = np.exp(-(worth - 75) / 40 + random.normal(0, 0.01, 8))
        noisy = worth + 100 * np.sqrt(0.6 * 0.75 * 0.25 / 341) * random.normal(size=8)
        found = standings([trial([a], [e]) for a, e in zip(noisy, entropies, strict=True)], 341)
        squares += [((f.accuracy - w) / f.deviation) ** 2 for f, w in zip(found, worth, strict=True)]
    assert 0.4 < np.mean(squares) < 1.1  # of few trials they are stated rather too large
