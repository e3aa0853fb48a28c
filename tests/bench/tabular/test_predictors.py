import numpy as np
import pytest
from scipy.stats import kendalltau

from bench.tabular.dataset import load_table
from bench.tabular.predictors import PREDICTORS, inputs

ROWS, HELD_OUT = np.arange(0, 48, 2), np.arange(1, 48, 2)


def tau_of(name, table):
    mean, std = PREDICTORS[name].learn(table, ROWS, table.targets[ROWS, 0], HELD_OUT, 3)
    assert mean.shape == HELD_OUT.shape
    assert std is None or (std.shape == HELD_OUT.shape and (std >= 0).all())
    return kendalltau(mean, table.targets[HELD_OUT, 0]).statistic


@pytest.mark.parametrize("name", [name for name, v in PREDICTORS.items() if not v.ours and name != "params"])
def test_rivals_learn(name, toy):
    assert tau_of(name, load_table(toy)) > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, v in PREDICTORS.items() if v.ours])
def test_ours_and_what_is_left_of_it_learn(name, toy):
    assert tau_of(name, load_table(toy)) > 0.5


@pytest.mark.parametrize("name", ["ridge", "random_forest", "boosting", "gaussian_process"])
def test_a_fit_repeats(name, toy):
    table = load_table(toy)
    assert tau_of(name, table) == tau_of(name, table)


def test_a_statistic_that_is_not_there_does_not_apply(toy):
    table = load_table(toy)
    assert PREDICTORS["params"].learn(table, ROWS, table.targets[ROWS, 0], HELD_OUT, 3) is None


def test_rivals_read_features_and_standardized_logarithms(toy):
    table = load_table(toy)
    columns = inputs(table)
    assert (columns[:, :-1] == table.space.features(table.genes)).all()
    np.testing.assert_allclose([columns[:, -1].mean(), columns[:, -1].std()], [0, 1], atol=1e-6)
    np.testing.assert_allclose(
        np.corrcoef(columns[:, -1], np.log(table.statistics[:, 0]))[0, 1], 1, atol=1e-6
    )


def test_only_ours_changes_with_the_predictor():
    versions = {name: variant.version() for name, variant in PREDICTORS.items()}
    assert versions["ours"] == versions["scratch"] != versions["ridge"] == versions["macs"]
