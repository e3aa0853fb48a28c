import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import predictor_quality
from bench.predictor_quality import figures_of, judge, larger, margin, needed, savings
from bench.tabular.dataset import load_dataset
from bench.tabular.jobs import Case, Datasets
from bench.tabular.predictors import Variant


@pytest.fixture
def stand_in(monkeypatch):
    """Replace all predictors by some functions of the true labels of the rows to predict."""

    def install(**learners):
        variants = {
            name: Variant(
                lambda dataset, rows, labels, wanted, seed, f=f: f(dataset.targets[wanted]),
                rival=name != "ours",
            )
            for name, f in learners.items()
        }
        monkeypatch.setattr(predictor_quality, "PREDICTORS", variants)

    return install


def test_perfect_ranking_scores_one(stand_in, toy):
    stand_in(ours=lambda labels: (np.exp(labels.mean(axis=1) / 50), np.full(len(labels), 1e3)))
    scores = judge(load_dataset(toy), "ours", 20, 0)
    for measure in ("tau", "spearman", "tau_best_tenth", "spearman_best_tenth", "interval_80"):
        assert scores[measure] == pytest.approx(1)


def test_constant_ranking_scores_zero(stand_in, toy):
    stand_in(ours=lambda labels: (np.zeros(len(labels)), None))
    scores = judge(load_dataset(toy), "ours", 20, 0)
    assert scores["tau"] == scores["spearman"] == scores["tau_best_tenth"] == 0
    assert scores["interval_80"] is None


def test_interval_is_judged_by_labels_of_the_learned_seed(stand_in, toy):
    stand_in(ours=lambda labels: (labels[:, 0], np.full(len(labels), 1e-6)))
    dataset = load_dataset(toy)
    assert judge(dataset, "ours", 20, 0)["interval_80"] == 1
    assert judge(dataset, "ours", 20, 1)["interval_80"] < 1


def test_predictor_that_does_not_apply_has_no_scores(stand_in, toy):
    stand_in(ours=lambda labels: None)
    assert judge(load_dataset(toy), "ours", 20, 0) is None


def found(**taus):
    """Make scores of variants on the dataset t at N = 50, from taus by seed."""
    return {
        Case(seed, "t", name, 50): {"tau": tau, "interval_80": 0.8}
        for name, values in taus.items()
        for seed, tau in enumerate(values)
    }


def test_margin_is_paired_by_seed_with_the_best_rival():
    scores = found(ours=[0.9, 0.8, 0.7], ridge=[0.8, 0.7, 0.6], macs=[0.1, 0.2, 0.3], one_member=[1, 1, 1])
    assert margin(scores, "t", 50) == pytest.approx(0.1)
    scores = found(ours=[0.9, 0.8], ridge=[0.8, 0.8])
    assert margin(scores, "t", 50) == pytest.approx(0.05 - 6.3138 * 0.05, abs=1e-4)
    assert math.isnan(margin(found(ours=[0.9], ridge=[0.8]), "t", 50))


def test_figures_of_returns_means_and_extremes():
    scores = found(ours=[0.9, 0.7], ridge=[0.8, 0.6])
    figures = figures_of(scores, ["t"], [50, 100])
    assert figures == pytest.approx(
        {
            "t_tau_50": 0.8,
            "t_interval_80_50": 0.8,
            "t_tau_margin": 0.1,
            "interval_80_min": 0.8,
            "interval_80_max": 0.8,
        }
    )


def test_needed_interpolates_in_the_logarithm():
    curve = {50: 0.5, 200: 0.7, 800: 0.8}
    assert needed(curve, 0.6) == (pytest.approx(100), "exact")
    assert needed(curve, 0.8) == (pytest.approx(800), "exact")
    assert needed(curve, 0.9) == (800, "at least")
    assert needed(curve, 0.4) == (50, "at most")


@given(
    taus=st.lists(st.floats(0, 1), min_size=2, max_size=6),
    wanted=st.floats(0, 1),
)
def test_needed_stays_inside_the_curve(taus, wanted):
    sizes = [50 * 2**place for place in range(len(taus))]
    trainings, bound = needed(dict(zip(sizes, taus, strict=True)), wanted)
    assert sizes[0] <= trainings <= sizes[-1] * (1 + 1e-12)
    assert (bound == "at least") == (max(taus) < wanted)
    assert (bound == "at most") == (taus[0] > wanted)


def test_larger_ends_with_half_of_the_dataset():
    assert larger([50, 500], 1498) == [1000, 1498]
    assert larger([50, 500], 500) == []
    assert larger([50], 5000) == [100, 200, 500, 1000, 2000, 5000]


def test_savings_extend_the_curve_up_to_half_of_the_dataset(toy):
    datasets = Datasets([toy], None)
    scores = {Case(seed, "toy", "ours", 100): {"tau": 0.8} for seed in (0, 1)}
    scores |= {Case(seed, "toy", "scratch", 10): {"tau": 0.2} for seed in (0, 1)}
    scores |= {Case(seed, "toy", "no_pretraining", 10): {"tau": 0.8} for seed in (0, 1)}
    asked = []

    def run(cases):
        asked.extend(case.size for case in cases)
        return {case: {"tau": 0.6} for case in cases}

    assert savings(scores, datasets, run) == [
        {"figure": "toy_sample_saving", "value": 0.24, "bound": "at least"},
        {"figure": "toy_pretrain_saving", "value": 0.1, "bound": "exact"},
    ]
    assert asked == [24, 24]
