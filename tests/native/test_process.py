"""Native inference of the Gaussian process and of mixtures, every instruction set, against the numpy twin."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from narsfast import _native
from narsfast.cost import Counter
from narsfast.predictor import (
    Effects,
    MixtureWeights,
    Noise,
    Prior,
    Process,
    ProcessWeights,
    native_surrogate,
)
from narsfast.search import TableCounter
from narsfast.search._surrogate_reference import surrogate_reference
from narsfast.space import Space, load_space

from .test_predictor import SMALL, random_statistics, random_weights


def small_space():
    return Space.from_dict(SMALL)


def recipe_space():
    return Space.from_dict({**SMALL, "architecture": {"constant": 3}})


def architecture_space():
    return Space.from_dict({**SMALL, "recipe": {"batch_size": 32}})


SPACES = {
    "small": small_space,
    "tiny": lambda: load_space("tiny"),
    "mobile": lambda: load_space("mobile"),
    "recipe": recipe_space,
    "architecture": architecture_space,
}


def fitted(space, labels, statistics=3, noise=None, prior=None):
    """Return a process fitted to made-up labels, with made-up statistics where there are any."""
    names = ("macs", "params", "depth", "latency")[:statistics]
    rng = np.random.default_rng(3)
    table = rng.uniform(1, 500, (len(space.fields), int(space.sizes.max()), statistics))
    counter = TableCounter(space, names, table)
    genes = space.random(labels, 5)
    slopes = rng.normal(0, 1, len(space.fields))
    return Process.of(counter, space.random(200, 6), noise, prior).fit(
        genes, 70 + genes @ slopes + rng.normal(0, 1, labels), 0
    )


@pytest.mark.parametrize("isa", _native.isas())
@pytest.mark.parametrize("labels", [1, 15, 48, 131])
@pytest.mark.parametrize("name", SPACES)
def test_native_equals_reference(monkeypatch, isa, labels, name):
    monkeypatch.setenv("NARSFAST_ISA", isa)
    space = SPACES[name]()
    process = fitted(space, labels, statistics=0 if name == "recipe" else 3)
    weights = process.weights()
    native = native_surrogate(space.tables(), weights)
    assert native.isa == isa
    for n in (0, 1, 5, 203):
        genes = space.random(n, n)
        values = np.asarray(process.counter(genes), np.float64)
        mean, std = native.score(genes, values)
        expected_mean, expected_std = surrogate_reference(space, weights, genes, values)
        scale = process.posterior.scale
        np.testing.assert_allclose(mean, expected_mean, rtol=0, atol=1e-4 * scale)
        np.testing.assert_allclose(std, expected_std, rtol=1e-3, atol=1e-5 * scale)


def test_native_equals_reference_with_a_prior():
    space = load_space("tiny")
    prior = Prior({"macs": 0.7}, {"ema": Effects((False, True), (-1.0, 1.0))}, (), {})
    process, genes = fitted(space, 15, prior=prior), space.random(50, 1)
    expected = surrogate_reference(
        space, process.weights(), genes, np.asarray(process.counter(genes), np.float64)
    )
    for found, wanted in zip(process.predict(genes), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4 * process.posterior.scale)


@pytest.mark.parametrize("noise", [None, Noise(10**6, 0.0)], ids=["unknown", "almost none"])
def test_many_labels_are_predicted_as_by_plain_algebra(noise):
    """In double precision, with more labels than columns and hardly any noise."""
    space = load_space("tiny")
    process = fitted(space, 500, noise=noise)
    genes = np.concatenate([space.random(150, 9), process.posterior.inputs.codes[:0]])
    mean, covariance = process.joint(genes)
    found, std = process.predict(genes)
    scale = process.posterior.scale
    np.testing.assert_allclose(found, mean, atol=1e-3 * scale)
    np.testing.assert_allclose(std, np.sqrt(np.diag(covariance)), rtol=0.02, atol=1e-3 * scale)


@pytest.mark.parametrize("isa", _native.isas())
def test_prediction_depends_on_the_candidate_alone(monkeypatch, isa):
    monkeypatch.setenv("NARSFAST_ISA", isa)
    space = load_space("tiny")
    process = fitted(space, 60)
    network = native_surrogate(space.tables(), random_weights(space, 3, [16], [8], 2))
    own = native_surrogate(space.tables(), process.weights())
    genes = space.random(300, 1)
    statistics = np.asarray(process.counter(genes), np.float64)
    rows = np.random.default_rng(0).permutation(300)[:77]
    threads = torch.get_num_threads()
    for native in (own, _native.Mixture([own, network], [0.4, 0.6])):
        found = []
        try:
            for count in (1, 3):
                torch.set_num_threads(count)
                found.append(native.score(genes, statistics))
        finally:
            torch.set_num_threads(threads)
        assert np.array_equal(*found)
        assert np.array_equal(np.array(found[0])[:, rows], native.score(genes[rows], statistics[rows]))


def test_inactive_fields_are_no_values():
    """The gene of an inactive field is 0, as is that of its first value; they are told apart."""
    space = small_space()
    names = [field.name for field in space.fields]
    inactive = np.zeros((1, len(names)), np.int16)
    active = inactive.copy()
    active[0, names.index("optimizer")] = 1
    process = fitted(space, 20, statistics=0)
    weights = process.weights()
    row = sum(int(size) + 1 for size in space.sizes[: names.index("momentum")])
    moved = weights.distances.copy()
    moved[row + int(space.sizes[names.index("momentum")])] += 1
    before = native_surrogate(space.tables(), weights)
    after = native_surrogate(space.tables(), replace(weights, distances=moved))
    nothing = np.zeros((1, 0))
    assert before.score(inactive, nothing) != after.score(inactive, nothing)
    assert before.score(active, nothing) == after.score(active, nothing)


@pytest.mark.parametrize("shares", [(0.3, 0.7), (1.0, 0.0), (0.0, 1.0)])
def test_mixture_equals_reference(shares):
    space = load_space("tiny")
    process = fitted(space, 30)
    parts = (process.weights(), random_weights(space, 3, [9], [7], 2))
    weights = MixtureWeights(parts, shares)
    genes, values = space.random(5000, 1), random_statistics(5000, 3)
    mean, std = native_surrogate(space.tables(), weights).score(genes, values)
    expected = surrogate_reference(space, weights, genes, values)
    np.testing.assert_allclose(mean, expected[0], rtol=2e-5, atol=2e-4)
    np.testing.assert_allclose(std, expected[1], rtol=2e-4, atol=2e-4)
    alone = native_surrogate(space.tables(), parts[int(shares[1] == 1)]).score(genes, values)
    assert np.array_equal(alone[0], mean) == (max(shares) == 1)


def test_far_below_the_median_stays_finite():
    space = small_space()
    weights = replace(fitted(space, 10).weights(), intercept=-1e5)
    genes = space.random(3, 0)
    mean, std = native_surrogate(space.tables(), weights).score(genes, np.ones((3, 3)))
    expected = surrogate_reference(space, weights, genes, np.ones((3, 3)))
    np.testing.assert_allclose(mean, expected[0])
    np.testing.assert_allclose(std, expected[1], rtol=1e-4)
    assert np.isfinite(mean).all()


def test_nan_in_a_statistic_is_nan_in_its_prediction():
    space = load_space("tiny")
    process = fitted(space, 10)
    genes = space.random(3, 1)
    values = np.asarray(process.counter(genes), np.float64)
    values[1, 0] = np.nan
    mean, std = native_surrogate(space.tables(), process.weights()).score(genes, values)
    assert np.isnan(mean).tolist() == np.isnan(std).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("distances", lambda array: array[:-1]),
        ("distances", lambda array: array[:, 1:]),
        ("slopes", lambda array: array[1:]),
        ("slope_variances", lambda array: array[1:]),
        ("statistic_std", lambda array: array[1:]),
        ("linear", lambda array: array.T.copy()),
        ("whitening", lambda array: array[1:]),
        ("variances", lambda array: array[:1]),
        ("weights", lambda array: array[:, None]),
        ("weights", lambda array: array[:0]),
    ],
)
def test_mismatched_shapes_raise(field, change):
    space = load_space("tiny")
    weights = fitted(space, 12).weights()
    with pytest.raises(ValueError, match=r"shape|must be|another space|at least one"):
        _native.Process(space.tables(), replace(weights, **{field: change(getattr(weights, field))}))


def test_parts_of_a_mixture_fit_together():
    tiny, small = load_space("tiny"), small_space()
    process = native_surrogate(tiny.tables(), fitted(tiny, 5).weights())
    for parts, shares in (
        ([], []),
        ([process], [0.5, 0.5]),
        ([process, native_surrogate(small.tables(), fitted(small, 5).weights())], [0.5, 0.5]),
        ([process, native_surrogate(tiny.tables(), fitted(tiny, 5, 2).weights())], [0.5, 0.5]),
    ):
        with pytest.raises(ValueError, match="mixture"):
            _native.Mixture(parts, shares)


def test_a_counter_of_networks_gives_the_statistics():
    """As in a run: without fields of either part that are not searched, and with real counts."""
    counter = Counter(load_space("tiny"), in_chans=1, num_classes=10)
    genes = counter.space.random(60, 0)
    process = Process.of(counter, genes).fit(genes[:20], np.linspace(50, 60, 20), 0)
    assert isinstance(process.weights(), ProcessWeights)
    expected = surrogate_reference(counter.space, process.weights(), genes, np.asarray(counter(genes), float))
    np.testing.assert_allclose(process.predict(genes), expected, rtol=1e-4)
    assert np.array_equal(process.scores(genes), process.predict(genes)[0])
