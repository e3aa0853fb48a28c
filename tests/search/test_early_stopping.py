import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import kendalltau, spearmanr

from narsfast.errors import UserError
from narsfast.search import early_stop_epoch

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
