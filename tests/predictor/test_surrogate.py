"""The mixture of process and network."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from narsfast.predictor import CrossValidation, Deviation, MixtureWeights, Process, ProcessWeights, Surrogate
from narsfast.predictor._surrogate import ERRORS_OFF, MIN_MIXED, network_share


@pytest.fixture(scope="module")
def surrogate(world):
    return Surrogate(Process.of(world.counter, world.genes), world.pretrained)


@pytest.fixture(scope="module")
def mixed(world, surrogate):
    """Fit to labels of which a network, as it happens, gets a share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("narsfast.predictor._surrogate.network_share", lambda *_: 0.4)
        return surrogate.fit(world.genes[:60], world.labels[:60], 1)


def test_few_labels_are_left_to_the_process(world, surrogate):
    count = MIN_MIXED - 1
    fitted = surrogate.fit(world.genes[:count], world.labels[:count], 1)
    process = surrogate.process.fit(world.genes[:count], world.labels[:count], 1)
    assert np.array_equal(fitted.predict(world.genes), process.predict(world.genes))
    assert fitted.share == 0
    assert fitted.validation is None
    assert fitted.network is surrogate.network
    assert isinstance(fitted.weights(), ProcessWeights)


def test_more_labels_mix_process_and_network(world, surrogate, mixed):
    process = surrogate.process.fit(world.genes[:60], world.labels[:60], 1)
    assert np.array_equal(mixed.process.scores(world.genes), process.scores(world.genes))
    assert mixed.share == 0.4
    assert isinstance(mixed.weights(), MixtureWeights)
    mean, std = mixed.predict(world.genes)
    parts = np.array([mixed.process.predict(world.genes), mixed.network.predict(world.genes)])
    shares = np.array([1 - mixed.share, mixed.share])
    np.testing.assert_allclose(mean, shares @ parts[:, 0])
    np.testing.assert_allclose(std, np.sqrt(shares @ (parts[:, 1] ** 2 + (parts[:, 0] - mean) ** 2)))
    assert np.array_equal(mixed.scores(world.genes), mean)
    assert mixed.names == world.counter.names
    assert mixed.space is world.space


def test_a_network_without_a_share_is_not_fitted(world, surrogate):
    """On these labels, which are linear in the features, the process is better."""
    fitted = surrogate.fit(world.genes[:60], world.labels[:60], 1)
    assert fitted.share == 0
    assert fitted.network is surrogate.network
    assert fitted.validation is not None


def test_the_network_is_the_one_fitted_and_calibrated_alone(world, surrogate, mixed):
    network = world.pretrained.fit(world.genes[:60], world.labels[:60], 1).calibrated(mixed.validation)
    assert np.array_equal(network.predict(world.genes), mixed.network.predict(world.genes))


def validation_of(means):
    nothing = np.zeros(len(means))
    return CrossValidation(nothing.astype(np.int64), nothing, np.asarray(means), Deviation())


@pytest.fixture(scope="module")
def fitted_process(world):
    return Process.of(world.counter, world.genes).fit(world.genes[:60], world.labels[:60], 0)


def test_share_is_that_of_the_best_mixture_less_half_its_error(world, fitted_process):
    labels = world.labels[:60]
    own = fitted_process.leave_one_out().mean
    other = labels + np.random.default_rng(0).normal(0, np.abs(labels - own).std(), 60)
    errors, apart = (
        fitted_process.compressed(values) - fitted_process.compressed(own) for values in (labels, other)
    )

    def density(share):
        """Return the log density with the best deviation for all labels, but for a constant."""
        return -30 * np.log(np.mean((errors - share * apart) ** 2))

    best = minimize_scalar(lambda share: -density(share), bounds=(0, 1), method="bounded").x
    step = 1e-3
    curvature = -(density(best + step) - 2 * density(best) + density(best - step)) / step**2
    share = network_share(fitted_process, validation_of(other), labels)
    assert 0.1 < share < 0.9
    assert share == pytest.approx(best - ERRORS_OFF / np.sqrt(curvature), abs=1e-3)


def test_a_network_that_predicts_labels_takes_over(world, fitted_process):
    labels = world.labels[:60]
    assert network_share(fitted_process, validation_of(labels), labels) == pytest.approx(1)


@pytest.mark.parametrize("kind", ["noise", "constant", "the process's own"])
def test_a_network_that_knows_nothing_has_no_share(world, fitted_process, kind):
    labels = world.labels[:60]
    means = {
        "noise": np.random.default_rng(0).permutation(labels),
        "constant": np.full(60, labels.mean()),
        "the process's own": fitted_process.leave_one_out().mean,
    }[kind]
    assert network_share(fitted_process, validation_of(means), labels) < 0.03


def test_it_must_be_fitted(world, surrogate):
    with pytest.raises(RuntimeError, match="call fit first"):
        surrogate.scores(world.genes)
    with pytest.raises(ValueError, match="one finite label per candidate"):
        surrogate.fit(world.genes[:2], [1.0], 0)


def test_more_labels_than_a_process_learns_are_left_to_the_network(world, surrogate, monkeypatch):
    for place in ("_surrogate", "_process"):
        monkeypatch.setattr(f"narsfast.predictor.{place}.MAX_LABELS", 50)
    fitted = surrogate.fit(world.genes[:60], world.labels[:60], 1)
    assert fitted.share == 1
    assert np.array_equal(fitted.predict(world.genes), fitted.network.predict(world.genes))
    assert fitted.network.deviation == fitted.validation.deviation
    assert len(fitted.process.posterior.targets) == 50
