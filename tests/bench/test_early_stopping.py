import numpy as np
import pytest

from bench.early_stopping import BATCHES, CORRELATIONS, judge, rows_of
from bench.tabular.dataset import Table, load_table


def table_of(curves):
    return Table("t", None, np.zeros((len(curves), 0)), None, None, curves[:, -1:], curves)


def test_curves_that_never_cross_stop_at_once_and_cost_nothing():
    curves = np.arange(60.0)[:, None] + np.arange(10)
    for correlation in CORRELATIONS:
        found = judge(table_of(curves), 12, correlation, 0)
        assert found == pytest.approx(
            {"epoch": 1, "saved": 0.9, "rank_correlation": 1, "rank": 0, "regret": 0}
        )


def test_curves_that_turn_at_the_end_are_trained_completely():
    curves = np.repeat(np.arange(60.0)[:, None], 10, axis=1)
    curves[:, :-1] *= -1
    found = judge(table_of(curves), 12, "spearman", 0)
    assert found == pytest.approx({"epoch": 10, "saved": 0, "rank_correlation": 1, "rank": 0, "regret": 0})


def test_the_cost_is_that_of_the_row_chosen_early():
    rng = np.random.default_rng(0)
    final = rng.permutation(np.arange(100.0))
    curves = np.stack([final + rng.normal(0, 8, 100), final], axis=1)
    found = judge(table_of(curves), 24, "spearman", 1)
    assert found["saved"] == 0.5
    assert 0.9 < found["rank_correlation"] < 1
    assert found["regret"] >= found["rank"] >= 0


def test_one_row_a_batch_and_correlation():
    curves = np.arange(100.0)[:, None] + np.arange(3)
    rows = rows_of(table_of(curves), 2)
    assert [(row["batch"], row["correlation"]) for row in rows] == [
        (b, c) for b in BATCHES for c in CORRELATIONS
    ]


def test_a_table_without_curves_is_refused(toy):
    toy.write_text(toy.read_text().replace("curves: e{i}", ""))
    with pytest.raises(SystemExit, match="table toy has no curves; give a description with curves"):
        judge(load_table(toy), 12, "spearman", 0)
