import numpy as np
import pytest

from bench.early_stopping import BATCHES, CORRELATIONS, judge, rows_of
from bench.tabular.dataset import TabularDataset, load_dataset


def dataset_of(curves):
    return TabularDataset("t", None, np.zeros((len(curves), 0)), None, None, curves[:, -1:], curves)


def test_curves_that_never_cross_stop_after_one_epoch_without_regret():
    curves = np.arange(60.0)[:, None] + np.arange(10)
    for correlation in CORRELATIONS:
        found = judge(dataset_of(curves), 12, correlation, 0)
        assert found == pytest.approx(
            {"epoch": 1, "saved": 0.9, "rank_correlation": 1, "rank": 0, "regret": 0}
        )


def test_curves_that_cross_in_the_last_epoch_are_trained_completely():
    curves = np.repeat(np.arange(60.0)[:, None], 10, axis=1)
    curves[:, :-1] *= -1
    found = judge(dataset_of(curves), 12, "spearman", 0)
    assert found == pytest.approx({"epoch": 10, "saved": 0, "rank_correlation": 1, "rank": 0, "regret": 0})


def test_noisy_early_epoch_costs_rank_and_regret():
    rng = np.random.default_rng(0)
    final = rng.permutation(np.arange(100.0))
    curves = np.stack([final + rng.normal(0, 8, 100), final], axis=1)
    found = judge(dataset_of(curves), 24, "spearman", 1)
    assert found["saved"] == 0.5
    assert 0.9 < found["rank_correlation"] < 1
    assert found["regret"] >= found["rank"] >= 0


def test_rows_of_returns_one_row_per_batch_and_correlation():
    curves = np.arange(100.0)[:, None] + np.arange(3)
    rows = rows_of(dataset_of(curves), 2)
    assert [(row["batch"], row["correlation"]) for row in rows] == [
        (b, c) for b in BATCHES for c in CORRELATIONS
    ]


def test_dataset_without_curves_raises_system_exit(toy):
    toy.write_text(toy.read_text().replace("curves: e{i}", ""))
    with pytest.raises(SystemExit, match="dataset toy has no curves; give a description with curves"):
        judge(load_dataset(toy), 12, "spearman", 0)
