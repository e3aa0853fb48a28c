"""Native inference of the predictor, every instruction set, against the numpy twin."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from narsfast import _native
from narsfast.predictor import MIN_STATISTIC, PredictorWeights
from narsfast.search._surrogate_reference import predict_reference
from narsfast.space import Space, load_space

SMALL = {
    "name": "small",
    "architecture": {
        "kind": {"choices": ["a", "b", "c"]},
        "width": {"range": [4, 32, 4]},
        "extra": {"choices": [1, 2, 3], "when": {"kind": ["b", "c"]}},
        "deep": {"range": [1, 5], "when": {"extra": [2]}},
        "constant": 3,
    },
    "recipe": {
        "optimizer": {"choices": ["rmsprop", "sgd"]},
        "momentum": {"range": [1, 9], "when": {"optimizer": ["sgd"]}},
        "batch_size": 32,
    },
}


def small_space():
    return Space.from_dict(SMALL)


def random_weights(space, statistics, encoder, head, members):
    """Weights of random layers: `encoder` and `head` are widths; the head's last layer is added."""
    rng = np.random.default_rng(0)

    def layers(inputs, widths):
        made = []
        for outputs in widths:
            scale = np.sqrt(2 / max(inputs, 1))
            made.append(
                (
                    (rng.standard_normal((members, inputs, outputs)) * scale).astype(np.float32),
                    rng.standard_normal((members, outputs)).astype(np.float32),
                )
            )
            inputs = outputs
        return made

    genes = space.random(1, 0)
    recipe = space.features(genes, "recipe").shape[1]
    architecture = space.features(genes, "architecture").shape[1]
    embedding = encoder[-1] if encoder else 0
    return PredictorWeights(
        statistic_mean=rng.uniform(3, 6, statistics).astype(np.float32),
        statistic_std=np.array([0.0, 1.5, 2.0, 1.0][:statistics], np.float32),
        encoder=layers(architecture, encoder),
        head=layers(embedding + statistics + recipe, [*head, 1]),
        output_mean=71.5,
        output_scale=4.0,
        deviation_scale=1.7,
        deviation_floor=0.3,
    )


def random_statistics(n, columns, seed=0):
    return np.exp(np.random.default_rng(seed).uniform(-1, 12, (n, columns)))


SHAPES = [([64, 24], [48], 3, 4), ([5], [7, 13, 25], 1, 1), ([], [33], 2, 2), ([40], [], 0, 3)]


@pytest.mark.parametrize("isa", _native.isas())
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("make_space", [small_space, lambda: load_space("tiny")], ids=["small", "tiny"])
def test_native_equals_reference(monkeypatch, isa, shape, make_space):
    monkeypatch.setenv("NARSFAST_ISA", isa)
    space = make_space()
    encoder, head, statistics, members = shape
    weights = random_weights(space, statistics, encoder, head, members)
    predictor = _native.Predictor(space.tables(), weights)
    assert predictor.isa == isa
    for n in (0, 1, 5, 64, 203):
        genes, values = space.random(n, n), random_statistics(n, statistics)
        mean, std = predictor.score(genes, values)
        expected_mean, expected_std = predict_reference(space, weights, genes, values)
        np.testing.assert_allclose(mean, expected_mean, rtol=2e-5, atol=2e-4)
        np.testing.assert_allclose(std, expected_std, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("isa", _native.isas())
@pytest.mark.parametrize("shape", SHAPES)
def test_the_lower_tail_equals_reference(monkeypatch, isa, shape):
    """Outputs on both sides of -1, below which the score and its uncertainty expand."""
    monkeypatch.setenv("NARSFAST_ISA", isa)
    space = load_space("tiny")
    encoder, head, statistics, members = shape
    weights = random_weights(space, statistics, encoder, head, members)
    genes, values = space.random(203, 0), random_statistics(203, statistics)
    last, bias = weights.head[-1]
    linear = predict_reference(space, moved(weights, 1000), genes, values)[0]
    outputs = (linear - weights.output_mean) / weights.output_scale - 1000
    narrow = float(3 / np.ptp(outputs))
    weights = replace(
        weights, head=[*weights.head[:-1], (last * np.float32(narrow), bias * np.float32(narrow))]
    )
    weights = moved(weights, -1 - float(np.median(outputs)) * narrow)
    mean, std = _native.Predictor(space.tables(), weights).score(genes, values)
    expected_mean, expected_std = predict_reference(space, weights, genes, values)
    assert 80 < (expected_mean < weights.output_mean - weights.output_scale).sum() < 120
    np.testing.assert_allclose(mean, expected_mean, rtol=2e-5, atol=2e-4)
    np.testing.assert_allclose(std, expected_std, rtol=2e-4, atol=2e-4)


def moved(weights, by):
    """Move all outputs of the weights."""
    last, bias = weights.head[-1]
    return replace(weights, head=[*weights.head[:-1], (last, bias + np.float32(by))])


def constant_weights(space, *outputs):
    """Weights whose members have these outputs for any candidate."""
    weights = random_weights(space, 1, [], [], len(outputs))
    last = np.zeros_like(weights.head[0][0])
    return replace(weights, head=[(last, np.array(outputs, np.float32)[:, None])])


@pytest.mark.parametrize(
    ("outputs", "expanded", "derivative", "variance"),
    [
        ((0.5, 1.5), 1.0, 1.0, 0.25),
        ((-0.5, -1.5), -1.0, 1.0, 0.25),
        ((-2.0, -3.0), -math.exp(1.5), math.exp(1.5), 0.25),
        ((-3.0, 2.0), -0.5, 1.0, 6.25),
        ((-2.0,), -math.e, math.e, 0.0),
        ((-1e4, -1e4), -math.exp(50), math.exp(50), 0.0),
    ],
)
def test_mean_and_uncertainty_by_hand(outputs, expanded, derivative, variance):
    """The mean over the members is expanded, not each of them; what is far below stays finite."""
    space = small_space()
    weights = constant_weights(space, *outputs)
    genes, statistics = space.random(1, 0), np.ones((1, 1))
    score = 71.5 + 4 * expanded
    uncertainty = 4 * derivative * 1.7 * math.sqrt(variance + 0.3**2)
    for mean, std in (
        _native.Predictor(space.tables(), weights).score(genes, statistics),
        predict_reference(space, weights, genes, statistics),
    ):
        assert mean[0] == pytest.approx(score, rel=1e-6)
        assert std[0] == pytest.approx(uncertainty, rel=1e-6)


@pytest.mark.parametrize("isa", _native.isas())
def test_score_depends_on_the_candidate_alone(monkeypatch, isa):
    monkeypatch.setenv("NARSFAST_ISA", isa)
    space = load_space("tiny")
    predictor = _native.Predictor(space.tables(), random_weights(space, 3, [256, 128], [48], 2))
    genes, statistics = space.random(300, 1), random_statistics(300, 3)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = predictor.score(genes, statistics)
        torch.set_num_threads(3)
        three = predictor.score(genes, statistics)
    finally:
        torch.set_num_threads(threads)
    assert np.array_equal(one, three)
    rows = np.random.default_rng(0).permutation(300)[:77]
    assert np.array_equal(np.array(one)[:, rows], predictor.score(genes[rows], statistics[rows]))


@pytest.mark.parametrize("isa", _native.isas())
@pytest.mark.parametrize("where", ["encoder", "head"])
@pytest.mark.parametrize("kind", [0, 1], ids=["weight", "bias"])
def test_nan_in_weights_is_nan_in_scores(monkeypatch, isa, where, kind):
    """Also behind the activation of a layer."""
    monkeypatch.setenv("NARSFAST_ISA", isa)
    space = load_space("tiny")
    weights = random_weights(space, 2, [9], [7], 2)
    getattr(weights, where)[0][kind][1] = np.nan
    genes, values = space.random(40, 1), random_statistics(40, 2)
    found = _native.Predictor(space.tables(), weights).score(genes, values)
    expected = predict_reference(space, weights, genes, values)
    assert np.isnan(expected).all()
    assert np.isnan(found).all()


def test_nan_in_a_statistic_is_nan_in_its_score():
    space = load_space("tiny")
    weights = random_weights(space, 2, [9], [7], 2)
    genes, values = space.random(3, 1), random_statistics(3, 2)
    values[1, 0] = np.nan
    mean, std = _native.Predictor(space.tables(), weights).score(genes, values)
    assert np.isnan(mean).tolist() == np.isnan(std).tolist() == [False, True, False]


def test_statistics_below_the_minimum_count_as_it():
    space = small_space()
    weights = random_weights(space, 1, [], [], 1)
    genes = space.random(2, 0)[[0, 0]]
    predictor = _native.Predictor(space.tables(), weights)
    below, at_least = predictor.score(genes, np.array([[MIN_STATISTIC / 4], [MIN_STATISTIC]]))[0]
    assert below == at_least
    assert below != predictor.score(genes[:1], np.array([[3.0]]))[0][0]


def test_mismatched_shapes_raise():
    space, other = small_space(), load_space("tiny")
    weights = random_weights(space, 2, [8], [8], 2)
    with pytest.raises(ValueError, match="inputs, expected"):
        _native.Predictor(other.tables(), weights)
    predictor = _native.Predictor(space.tables(), weights)
    genes = space.random(3, 0)
    with pytest.raises(ValueError, match="statistics must be"):
        predictor.score(genes, np.ones((3, 1)))
    with pytest.raises(ValueError, match="genes must be"):
        predictor.score(other.random(3, 0), np.ones((3, 2)))
    genes[1, 1] = 100
    with pytest.raises(ValueError, match="outside its field"):
        predictor.score(genes, np.ones((3, 2)))


def test_unavailable_instruction_set_raises(monkeypatch):
    monkeypatch.setenv("NARSFAST_ISA", "sse9")
    with pytest.raises(ValueError, match=r"NARSFAST_ISA=sse9 .*baseline"):
        _native.isa()
    monkeypatch.setenv("NARSFAST_ISA", "")
    assert _native.isa() == _native.isas()[-1]
