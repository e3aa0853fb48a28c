import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from narsfast.errors import UserError
from narsfast.predictor import MIN_STATISTIC, Deviation, pretrain
from narsfast.predictor._inputs import Inputs
from narsfast.predictor._network import new_layers
from narsfast.search import TableCounter
from narsfast.space import Space


def outputs_of(space, weights, genes, statistics):
    """Compute the outputs (M, n) of the ensemble members of `PredictorWeights` in numpy."""
    z = (np.log(np.maximum(statistics, MIN_STATISTIC)) - weights.statistic_mean) / weights.statistic_std
    direct = np.concatenate([z, space.features(genes, "recipe")], axis=1)
    outputs = []
    for member in range(len(weights.head[0][0])):
        hidden = space.features(genes, "architecture")
        for weight, bias in weights.encoder:
            hidden = np.maximum(hidden @ weight[member] + bias[member], 0)
        hidden = np.concatenate([hidden, direct], axis=1) if weights.encoder else direct
        for weight, bias in weights.head[:-1]:
            hidden = np.maximum(hidden @ weight[member] + bias[member], 0)
        weight, bias = weights.head[-1]
        outputs.append((hidden @ weight[member] + bias[member])[:, 0])
    return np.array(outputs)


def predict_reference(space, weights, genes, statistics):
    """Compute score and uncertainty of `PredictorWeights`, one candidate at a time."""
    scores, uncertainties = [], []
    for outputs in outputs_of(space, weights, genes, statistics).T:
        mean, variance = outputs.mean(), np.mean((outputs - outputs.mean()) ** 2)
        expanded, derivative = (mean, 1.0) if mean >= -1 else (-math.exp(-1 - mean), math.exp(-1 - mean))
        deviation = weights.deviation_scale * math.hypot(math.sqrt(variance), weights.deviation_floor)
        scores.append(weights.output_mean + weights.output_scale * expanded)
        uncertainties.append(weights.output_scale * derivative * deviation)
    return np.array(scores), np.array(uncertainties)


def flat_space(**parts):
    """Build a space without stages."""
    return Space.from_dict(
        {"name": "flat", "architecture": {}, "recipe": {}, "pool": {}, "budgets": [], **parts}
    )


def test_predict_equals_the_reference(world, fitted):
    """Outputs are on both sides of -1, below which the tail is expanded."""
    predictor = replace(fitted, deviation=Deviation(scale=1.7, floor=0.3))
    mean, std = predictor.predict(world.genes)
    weights, statistics = predictor.weights(), world.counter(world.genes)
    assert (weights.deviation_scale, weights.deviation_floor) == (1.7, 0.3)
    below = outputs_of(world.space, weights, world.genes, statistics).mean(axis=0) < -1
    assert 20 < below.sum() < 580
    expected = predict_reference(world.space, weights, world.genes, statistics)
    np.testing.assert_allclose(mean, expected[0], atol=1e-3)
    np.testing.assert_allclose(std, expected[1], atol=1e-3)
    np.testing.assert_array_equal(predictor.scores(world.genes), mean)


def test_predict_of_ordered_fields_equals_the_reference(small):
    """The weights of ranks are folded into those of the features.

    The statistic is below 1, as a latency in milliseconds may be.
    """
    values = {"choices": [1, 2, 4, 8]}
    space = flat_space(architecture={"a": values, "b": {"range": [1, 5]}}, recipe={"x": values, "y": values})
    counter = TableCounter(space, ("params",), np.arange(1.0, 21.0).reshape(4, 5, 1) / 100)
    genes = space.random(60, seed=0)
    predictor = pretrain(counter, genes, seed=0, **small)
    fitted = predictor.fit(genes, space.features(genes) @ np.arange(13.0), seed=0)
    inputs = Inputs.of(counter, predictor.scaling, genes)
    assert (inputs.architecture.shape[1], inputs.recipe.shape[1]) == (4 + 1 + 1, 8 + 2)
    assert len(np.unique(inputs.statistics)) == len(np.unique(counter(genes).round(3))) == 12
    np.testing.assert_allclose(
        outputs_of(space, fitted.weights(), genes, counter(genes)), fitted.fitted.outputs(inputs), atol=1e-4
    )
    np.testing.assert_allclose(
        fitted.predict(genes), predict_reference(space, fitted.weights(), genes, counter(genes)), atol=1e-3
    )


def test_weights_are_contiguous_float32_arrays(world, fitted):
    weights = fitted.weights()
    layers = [*weights.encoder, *weights.head]
    assert all(a.dtype == np.float32 and a.flags.c_contiguous for layer in layers for a in layer)
    assert [w.shape for w, _ in weights.encoder] == [
        (2, world.space.features(world.genes[:1], "architecture").shape[1], 32),
        (2, 32, 16),
    ]
    assert weights.head[-1][0].shape == (2, 16, 1)


def test_held_out_candidates_are_ranked(world, fitted):
    assert kendalltau(fitted.scores(world.genes[40:]), world.labels[40:]).statistic > 0.6


def test_predictions_are_in_percent(world, fitted):
    assert np.abs(fitted.scores(world.genes[:40]) - world.labels[:40]).mean() < 1.0


def test_uncertainty_is_positive(world, fitted):
    assert (fitted.predict(world.genes[40:])[1] > 0).all()


def test_fit_depends_on_its_arguments_only(world, fitted):
    """It depends on the seed and the labels, but not on earlier fits or the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        again = fitted.fit(world.genes[:40], world.labels[:40], seed=3)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    expected = fitted.scores(world.genes)
    np.testing.assert_array_equal(again.scores(world.genes), expected)
    other_seed = world.pretrained.fit(world.genes[:40], world.labels[:40], seed=4)
    other_labels = world.pretrained.fit(world.genes[:40], world.labels[:40] + 1, seed=3)
    assert not np.array_equal(other_seed.scores(world.genes), expected)
    np.testing.assert_allclose(other_labels.scores(world.genes), expected + 1, atol=0.05)


def test_pretraining_improves_the_ranking(world):
    """Where accuracy depends on statistics, a pretrained encoder ranks better after 24 labels than a new one."""
    logs = np.log(world.counter(world.genes))
    z = dict(zip(world.counter.names, ((logs - logs.mean(axis=0)) / logs.std(axis=0)).T, strict=True))
    labels = 80 + 4 * np.tanh(z["macs"] + z["depth"])
    widths = [weight.shape[1] for weight, _ in world.pretrained.encoder]
    new = new_layers([*widths, 16], 2, torch.Generator().manual_seed(0))
    starts = {"pretrained": world.pretrained, "new": replace(world.pretrained, encoder=tuple(new))}
    taus = dict.fromkeys(starts, 0.0)
    draws = 6
    for seed in range(draws):
        rows = np.random.default_rng(seed).permutation(600)
        known, held_out = rows[:24], rows[24:]
        for name, start in starts.items():
            scores = start.fit(world.genes[known], labels[known], seed).scores(world.genes[held_out])
            taus[name] += kendalltau(scores, labels[held_out]).statistic / draws
    assert taus["pretrained"] > taus["new"] + 0.02


def test_space_without_architecture_is_ranked_without_encoder(recipe_only, small):
    genes = recipe_only.space.random(200, seed=0)
    labels = 60 + 4 * recipe_only.space.features(genes, "recipe").sum(axis=1)
    predictor = pretrain(recipe_only, genes, seed=0, **small).fit(genes[:40], labels[:40], seed=0)
    assert predictor.weights().encoder == []
    assert kendalltau(predictor.scores(genes[40:]), labels[40:]).statistic > 0.6


def test_space_without_recipe_is_ranked(small):
    """The statistic is additive."""
    space = flat_space(architecture={name: {"range": [1, 5]} for name in "abcd"})
    table = np.arange(1.0, 6.0)[None, :, None].repeat(4, axis=0)
    counter = TableCounter(space, ("params",), table)
    genes = space.random(200, seed=0)
    labels = counter(genes)[:, 0] + 50
    predictor = pretrain(counter, genes, seed=0, **small)
    assert predictor.pretraining.statistics[0].rank_correlation > 0.9
    assert (
        kendalltau(predictor.fit(genes[:40], labels[:40], 0).scores(genes[40:]), labels[40:]).statistic > 0.8
    )


def test_encoder_is_not_pretrained_without_statistics(small):
    space = flat_space(
        architecture={name: {"range": [1, 5]} for name in "abcd"}, recipe={"x": {"range": [0, 9]}}
    )
    counter = TableCounter(space, (), np.zeros((5, 10, 0)))
    genes = space.random(200, seed=0)
    predictor = pretrain(counter, genes, seed=0, **small)
    assert predictor.encoder
    assert predictor.pretraining.statistics == ()
    labels = 50 + 5 * space.features(genes).sum(axis=1)
    assert (
        kendalltau(predictor.fit(genes[:60], labels[:60], 0).scores(genes[60:]), labels[60:]).statistic > 0.6
    )


@pytest.mark.parametrize("where", ["encoder", "head", "center", "scaling"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_damaged_weights_are_refused(world, fitted, where, value):
    damaged = replace(fitted, scaling=copy.deepcopy(fitted.scaling), fitted=copy.deepcopy(fitted.fitted))
    if where == "scaling":
        damaged.scaling.mean[0] = value
    else:
        found = getattr(damaged.fitted, where)
        (found if where == "center" else found[0][0]).view(-1)[0] = value
    with pytest.raises(UserError, match="a weight of the predictor is not finite"):
        damaged.predict(world.genes[:2])


def test_predict_before_fit_is_refused(world):
    with pytest.raises(RuntimeError, match="call fit first"):
        world.pretrained.predict(world.genes[:2])


@pytest.mark.parametrize("labels", [[], [1.0], [1.0, float("nan")], [[1.0], [2.0]]])
def test_fit_refuses_wrong_labels(world, labels):
    with pytest.raises(ValueError, match="one finite label per candidate"):
        world.pretrained.fit(world.genes[: 2 if labels else 0], labels, seed=0)
