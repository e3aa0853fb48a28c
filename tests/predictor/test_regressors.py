import math

import numpy as np
import pytest

from narsfast.predictor import _regressors, compare_regressors, pretrain

NAMES = {"params", "macs", "ridge", "random_forest", "predictor"}


def compare(predictor, genes, labels, seed):
    return compare_regressors(predictor, genes, labels, predictor.cross_validate(genes, labels, seed), seed)


def test_all_regressors_are_compared(world):
    taus = compare(world.pretrained, world.genes[:60], world.labels[:60], seed=0)
    assert set(taus) == NAMES
    assert taus["predictor"] > 0.6
    assert taus["ridge"] > 0.6
    assert taus["random_forest"] > 0.3
    assert taus["macs"] > 0.2


def test_comparison_depends_on_the_seed_only(few_steps, world):
    first, second = (compare(world.pretrained, world.genes[:24], world.labels[:24], seed=2) for _ in range(2))
    assert first == second


def test_score_of_params_is_the_statistic(few_steps, world):
    params = world.counter(world.genes[:40])[:, world.counter.names.index("params")]
    taus = compare(world.pretrained, world.genes[:40], np.log(params), seed=0)
    assert taus["params"] == pytest.approx(1)
    assert compare(world.pretrained, world.genes[:40], -np.log(params), seed=0)["params"] == pytest.approx(-1)


def test_no_regressor_predicts_noise(world):
    """A tau far from 0 would mean that held-out labels leak into the fits."""
    noise = np.random.default_rng(0).normal(50, 5, 100)
    taus = compare(world.pretrained, world.genes[:100], noise, seed=0)
    assert all(abs(tau) < 0.25 for tau in taus.values())


def test_tau_is_nan_with_too_few_or_equal_labels(few_steps, world):
    few = compare(world.pretrained, world.genes[:7], world.labels[:7], seed=0)
    equal = compare(world.pretrained, world.genes[:20], np.full(20, 10.0), seed=0)
    assert set(few) == set(equal) == NAMES
    assert all(math.isnan(tau) for tau in (*few.values(), *equal.values()))


def test_eight_labels_are_enough(world):
    taus = compare(world.pretrained, world.genes[:8], world.labels[:8], seed=0)
    assert all(math.isfinite(tau) for tau in taus.values())


def test_earlier_fit_has_no_influence(few_steps, world, fitted):
    arguments = (world.genes[:24], world.labels[:24], 5)
    assert compare(fitted, *arguments) == compare(world.pretrained, *arguments)


def test_tau_of_constant_statistics_is_nan(recipe_only, small):
    genes = recipe_only.space.random(40, seed=0)
    labels = 60 + 4 * recipe_only.space.features(genes, "recipe").sum(axis=1)
    taus = compare(pretrain(recipe_only, genes, seed=0, **small), genes, labels, seed=0)
    assert math.isnan(taus["macs"])
    assert math.isnan(taus["params"])
    assert taus["predictor"] > 0.5


def test_of_many_labels_some_are_compared(few_steps, world, monkeypatch):
    monkeypatch.setattr("narsfast.predictor._regressors.MAX_COMPARED", 30)
    lengths = []
    predict = _regressors._held_out_predictions

    def counted(columns, truth, folds, seed):
        lengths.append(len(truth))
        return predict(columns, truth, folds, seed)

    monkeypatch.setattr(_regressors, "_held_out_predictions", counted)
    taus = compare(world.pretrained, world.genes[:80], world.labels[:80], seed=0)
    assert lengths == [30]
    assert set(taus) == NAMES
    assert taus["ridge"] > 0.3
