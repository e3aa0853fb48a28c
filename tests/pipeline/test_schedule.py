"""Plans for a given time."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narsfast.errors import UserError
from narsfast.pipeline._schedule import (
    FEWEST,
    LONGEST_FINAL,
    MOST,
    SHORTEST_FINAL,
    Costs,
    final_epochs,
    search_schedule,
)

USUAL = {"trials_per_batch": 8, "iterations": 3, "epochs": 8}


def schedule(seconds, free=tuple(USUAL), epoch=2.0, workers=2, usual=USUAL, most=2048):
    return search_schedule(seconds, epoch, 1.0, workers, usual, free, most)


def test_costs_are_those_of_the_networks_that_were_timed():
    macs, layers = np.array([2e6, 8e6, 20e6]), np.array([20, 25, 40])
    steps = 1e-4 + 2e-10 * macs + 3e-5 * layers
    found = Costs.fitted(macs, layers, steps, steps / 4, [1, 2, 3])
    assert found.constant == pytest.approx(1e-4)
    assert found.macs == pytest.approx(2e-10)
    assert found.layers == pytest.approx(3e-5)
    assert (found.evaluation, found.setup) == (pytest.approx(0.25), 2)
    np.testing.assert_allclose(found.epoch(macs, layers, 1000, 400), steps * 1100)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(1e-5, 1e-2), min_size=3, max_size=3))
def test_no_cost_is_below_zero_whatever_was_measured(steps):
    found = Costs.fitted([1e6, 5e6, 2e7], [20, 22, 50], steps, [1e-4] * 3, [1.0] * 3)
    assert min(found.constant, found.macs, found.layers) >= 0
    assert (found.epoch([1e6, 1e8], [10, 50], 100, 10) >= 0).all()


@settings(max_examples=100, deadline=None)
@given(st.floats(100, 1e6), st.integers(1, 8), st.floats(0.1, 50))
def test_a_search_fills_its_time(seconds, workers, epoch):
    if int(workers * seconds / (1 + 2 * epoch)) < 4:
        with pytest.raises(UserError, match="time is too short: 4 trials of 2 epochs alone take"):
            schedule(seconds, epoch=epoch, workers=workers)
        return
    found = schedule(seconds, epoch=epoch, workers=workers)
    trials = found.trials_per_batch * found.iterations
    assert trials >= 2
    needed = trials * (1 + found.epochs * epoch) / workers
    assert needed <= seconds * 1.01
    if trials >= FEWEST and found.epochs < 24:  # longer ones or more would not fit
        assert needed >= 0.5 * seconds


def test_few_trials_are_made_shorter_and_many_longer():
    assert schedule(2 * 17 * 30 / 2).epochs == 8  # 30 trials of 17 s, two at once
    few, many = schedule(17 * 3), schedule(17 * 100)
    assert few.epochs < 8
    assert few.trials_per_batch * few.iterations >= FEWEST - 2
    assert many.epochs > 8
    assert 80 <= many.trials_per_batch * many.iterations <= MOST


def test_what_the_user_gave_holds():
    assert schedule(1e4, free=("iterations", "trials_per_batch")).epochs == 8
    assert schedule(1e4, free=("epochs", "trials_per_batch")).iterations == 3
    assert schedule(1e4, free=("epochs", "iterations")).trials_per_batch == 8
    assert schedule(1e5, most=16).trials_per_batch * schedule(1e5, most=16).iterations <= 16


def test_batches_keep_all_workers_busy():
    assert schedule(3000, workers=4).trials_per_batch % 4 == 0


@settings(max_examples=50, deadline=None)
@given(st.floats(10, 1e5), st.integers(1, 4), st.integers(1, 3))
def test_final_trainings_fill_what_is_left(seconds, workers, budgets):
    costs = [[1.0 + budget] * 5 for budget in range(budgets)]
    length = final_epochs(seconds, costs, [], workers, 30)
    assert SHORTEST_FINAL <= length <= LONGEST_FINAL * 30
    first = math.ceil(length / 3)
    work = sum(5 * first * row[0] + 2 * (length - first) * row[0] for row in costs)
    if SHORTEST_FINAL < length < LONGEST_FINAL * 30:
        assert work / workers <= seconds
        assert work / workers >= 0.4 * seconds


def test_baselines_take_their_part():
    assert final_epochs(100, [[1.0] * 5], [3.0], 2, 30) < final_epochs(100, [[1.0] * 5], [], 2, 30)
