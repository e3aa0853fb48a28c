import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bench import search_quality
from bench.search_quality import cases_of, figures_of, judge, ranks_found, ranks_of, rows_of
from bench.tabular.dataset import TabularDataset, load_dataset
from bench.tabular.jobs import Case, Datasets
from bench.tabular.searches import Trained


def dataset_of(targets):
    return TabularDataset(
        "t", None, np.zeros((len(targets), 0)), None, None, np.asarray(targets, np.float64), None
    )


def test_ranks_of_counts_from_zero_and_ties_share_the_better_rank():
    dataset = dataset_of([[1, 3], [2, 2], [5, 5], [0, 0]])
    assert ranks_of(dataset, np.arange(4)).tolist() == [1, 1, 0, 3]


def test_ranks_found_follows_the_best_label_seen():
    dataset = dataset_of([[9, 1], [6, 6], [8, 8], [3, 3]])
    trained = Trained(np.array([3, 0, 1, 2]), dataset.targets[[3, 0, 1, 2], 0])
    # Row 0 was seen to be the best, and is the third of four by the mean.
    assert ranks_found(dataset, trained).tolist() == [3, 2, 2, 2]


@given(
    targets=arrays(np.float64, (12, 3), elements=st.integers(0, 5)),
    order=st.permutations(range(12)),
)
def test_ranks_found_never_worsen_without_noise(targets, order):
    dataset = dataset_of(targets[:, :1].repeat(3, axis=1))
    found = ranks_found(dataset, Trained(np.array(order), dataset.targets[order, 0]))
    ranks = ranks_of(dataset, np.array(order))
    assert (found == np.minimum.accumulate(ranks)).all()
    assert found[-1] == 0


def test_judge_returns_ranks_of_seen_and_of_trained(toy, monkeypatch):
    dataset = load_dataset(toy)
    best, worst = np.argmax(dataset.targets.mean(axis=1)), np.argmin(dataset.targets.mean(axis=1))
    searches = {
        "narsfast": lambda *_: Trained(np.array([worst, best]), np.array([1.0, 0.0]), 0.5),
        "tpe": lambda *_: None,
    }
    monkeypatch.setattr(search_quality, "SEARCHES", searches)
    scores = judge(dataset, "narsfast", 2, 0)
    last = ranks_of(dataset, np.array([worst]))[0]  # another row may be as bad
    assert scores["ranks"] == [last, last]
    assert scores["trained"] == [last, 0]
    assert scores["epochs"] == 0.5
    assert judge(dataset, "tpe", 2, 0) is None


def test_cases_of_has_one_search_for_all_numbers_of_trainings(toy):
    datasets = Datasets([toy], None)
    cases = cases_of(datasets, ["narsfast", "one_shot"], [10, 20], 2)
    assert [(case.seed, case.variant, case.size) for case in cases] == [
        (seed, *rest) for seed in (0, 1) for rest in (("narsfast", 20), ("one_shot", 10), ("one_shot", 20))
    ]
    assert cases_of(datasets, ["narsfast"], [10, 50], 1) == []


def test_rows_and_figures_aggregate_over_seeds():
    def scores(*ranks):
        return {"ranks": ranks, "trained": ranks, "epochs": 1.0, "seconds": 0.5}

    found = {Case(seed, "t", "narsfast", 4): scores(9, 9, 5 + seed, seed) for seed in range(3)}
    found |= {Case(0, "t", "one_shot", 2): scores(7, 6), Case(0, "t", "one_shot", 4): scores(8, 8, 8, 3)}
    found |= {Case(0, "t", "tpe", 4): scores(6, 4)}
    rows = rows_of(found, [2, 4])
    assert {(row["variant"], row["trainings"]): row["median_rank"] for row in rows} == {
        ("narsfast", 2): 9,
        ("narsfast", 4): 1,
        ("one_shot", 2): 6,
        ("one_shot", 4): 3,
        ("tpe", 2): 4,
        ("tpe", 4): 4,
    }
    assert rows[1]["mean_rank"] == pytest.approx(1)
    assert rows[1]["seeds"] == 3
    assert figures_of(rows) == {
        "t_rank_2": 9,
        "t_rank_4": 1,
        "t_rank_2_one_shot": 6,
        "t_rank_4_one_shot": 3,
        "t_rank_2_tpe": 4,
        "t_rank_4_tpe": 4,
    }
