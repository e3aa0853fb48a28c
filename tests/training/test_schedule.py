import pytest

from narsfast.space import Recipe
from narsfast.training import learning_rate

RECIPE = Recipe(optimizer="rmsprop", learning_rate=0.08, lr_final=0.01, warmup_epochs=2)


def test_warm_up_and_decay_have_their_values():
    rates = [learning_rate(RECIPE, step, 10, 20) for step in range(200)]
    assert rates[0] == pytest.approx(0.08 * 1 / 20)
    assert rates[9] == pytest.approx(0.08 * 10 / 20 * 0.01 ** (0.9 / 20))
    assert rates[20] == pytest.approx(0.08 * 0.01 ** (2 / 20))
    assert rates[100] == pytest.approx(0.08 * 0.1)
    assert rates[30] / rates[20] == pytest.approx(0.01 ** (1 / 20))
    assert rates[199] == pytest.approx(0.08 * 0.01 ** (19.9 / 20))
    assert max(rates) == max(rates[19], rates[20])


def test_first_step_without_warm_up_is_at_the_peak():
    recipe = RECIPE.model_copy(update={"warmup_epochs": 0})
    assert learning_rate(recipe, 0, 10, 20) == pytest.approx(0.08)


def test_sgd_factor_scales_the_whole_schedule():
    sgd = RECIPE.model_copy(update={"optimizer": "sgd", "sgd_factor": 3.0})
    for step in (0, 5, 50):
        assert learning_rate(sgd, step, 10, 20) == pytest.approx(3 * learning_rate(RECIPE, step, 10, 20))


def test_schedule_that_ends_at_its_peak_is_constant():
    recipe = RECIPE.model_copy(update={"warmup_epochs": 0, "lr_final": 1.0})
    assert {learning_rate(recipe, step, 10, 20) for step in range(200)} == {0.08}


def test_cosine_passes_the_middle_and_ends_at_the_final_rate():
    recipe = RECIPE.model_copy(update={"warmup_epochs": 0, "schedule": "cosine"})
    rates = [learning_rate(recipe, step, 10, 20) for step in range(201)]
    assert rates[0] == pytest.approx(0.08)
    assert rates[100] == pytest.approx(0.08 * (0.01 + 0.99 / 2))
    assert rates[50] == pytest.approx(0.08 * (0.01 + 0.99 * (1 + 2**-0.5) / 2))
    assert rates[200] == pytest.approx(0.08 * 0.01)
    assert rates == sorted(rates, reverse=True)


def test_step_schedule_falls_after_each_third():
    recipe = RECIPE.model_copy(update={"warmup_epochs": 0, "schedule": "step"})
    rates = [learning_rate(recipe, step, 10, 90) for step in range(900)]
    assert rates[:300] == [0.08] * 300
    assert rates[300:600] == pytest.approx([0.008] * 300)
    assert rates[600:] == pytest.approx([0.0008] * 300)


@pytest.mark.parametrize("schedule", ["exponential", "cosine", "step"])
def test_schedule_by_epoch_has_one_rate_per_epoch(schedule):
    by_step, by_epoch = (
        [
            learning_rate(RECIPE.model_copy(update={"schedule": schedule, "schedule_by": by}), step, 10, 20)
            for step in range(200)
        ]
        for by in ("step", "epoch")
    )
    assert all(len(set(by_epoch[epoch * 10 : epoch * 10 + 10])) == 1 for epoch in range(20))
    assert by_epoch[0] == pytest.approx(0.08 / 2)
    assert by_epoch[::10][2:] == pytest.approx(by_step[::10][2:])
