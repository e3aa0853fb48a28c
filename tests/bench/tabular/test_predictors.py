import numpy as np
import pytest
from scipy.stats import kendalltau

from bench.tabular.dataset import load_dataset
from bench.tabular.predictors import PREDICTORS, inputs

ROWS, HELD_OUT = np.arange(0, 48, 2), np.arange(1, 48, 2)


def tau_of(name, dataset):
    mean, std = PREDICTORS[name].learn(dataset, ROWS, dataset.targets[ROWS, 0], HELD_OUT, 3)
    assert mean.shape == HELD_OUT.shape
    assert std is None or (std.shape == HELD_OUT.shape and (std >= 0).all())
    return kendalltau(mean, dataset.targets[HELD_OUT, 0]).statistic


@pytest.mark.parametrize("name", [name for name, v in PREDICTORS.items() if not v.ours and name != "params"])
def test_rivals_rank_better_than_chance(name, toy):
    assert tau_of(name, load_dataset(toy)) > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, v in PREDICTORS.items() if v.ours])
def test_our_variants_rank_better_than_chance(name, toy):
    assert tau_of(name, load_dataset(toy)) > 0.5


@pytest.mark.parametrize("name", ["ridge", "random_forest", "boosting", "gaussian_process"])
def test_rival_fit_is_deterministic(name, toy):
    dataset = load_dataset(toy)
    assert tau_of(name, dataset) == tau_of(name, dataset)


def test_missing_statistic_does_not_apply(toy):
    dataset = load_dataset(toy)
    assert PREDICTORS["params"].learn(dataset, ROWS, dataset.targets[ROWS, 0], HELD_OUT, 3) is None


def test_inputs_are_features_and_standardized_logarithms(toy):
    dataset = load_dataset(toy)
    columns = inputs(dataset)
    assert (columns[:, :-1] == dataset.space.features(dataset.genes)).all()
    np.testing.assert_allclose([columns[:, -1].mean(), columns[:, -1].std()], [0, 1], atol=1e-6)
    np.testing.assert_allclose(
        np.corrcoef(columns[:, -1], np.log(dataset.statistics[:, 0]))[0, 1], 1, atol=1e-6
    )


def test_only_our_versions_depend_on_the_predictor():
    versions = {name: variant.version() for name, variant in PREDICTORS.items()}
    assert versions["ours"] == versions["scratch"] != versions["ridge"] == versions["macs"]
