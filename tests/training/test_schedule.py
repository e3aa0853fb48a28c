import pytest

from narsfast.space import Recipe
from narsfast.training import learning_rate

RECIPE = Recipe(optimizer="rmsprop", learning_rate=0.08, lr_final=0.01, warmup_epochs=2)


def test_values_of_warm_up_and_decay():
    rates = [learning_rate(RECIPE, step, 10, 20) for step in range(200)]
    assert rates[0] == pytest.approx(0.08 * 1 / 20)
    assert rates[9] == pytest.approx(0.08 * 10 / 20 * 0.01 ** (0.9 / 20))
    assert rates[20] == pytest.approx(0.08 * 0.01 ** (2 / 20))
    assert rates[100] == pytest.approx(0.08 * 0.1)
    assert rates[30] / rates[20] == pytest.approx(0.01 ** (1 / 20))
    assert rates[199] == pytest.approx(0.08 * 0.01 ** (19.9 / 20))
    assert max(rates) == max(rates[19], rates[20])


def test_without_warm_up_the_first_step_is_at_the_peak():
    recipe = RECIPE.model_copy(update={"warmup_epochs": 0})
    assert learning_rate(recipe, 0, 10, 20) == pytest.approx(0.08)


def test_sgd_factor_scales_the_whole_schedule():
    sgd = RECIPE.model_copy(update={"optimizer": "sgd", "sgd_factor": 3.0})
    for step in (0, 5, 50):
        assert learning_rate(sgd, step, 10, 20) == pytest.approx(3 * learning_rate(RECIPE, step, 10, 20))


def test_a_schedule_that_ends_where_it_starts_is_constant():
    recipe = RECIPE.model_copy(update={"warmup_epochs": 0, "lr_final": 1.0})
    assert {learning_rate(recipe, step, 10, 20) for step in range(200)} == {0.08}
