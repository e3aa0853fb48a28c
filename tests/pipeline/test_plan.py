"""A run for a given time."""

import logging
import re
import time

import pytest

from narsfast import pipeline
from narsfast.errors import UserError
from narsfast.pipeline import _plan, resolve_config
from narsfast.training import StepTimes, time_steps


@pytest.fixture
def options(smallest, monkeypatch):
    """Provide options of a run whose predictor and folders take no time worth planning for."""
    monkeypatch.setattr(_plan, "FITTING", 0.3)
    monkeypatch.setattr(_plan, "EMISSION", 0.5)
    given = {
        name: value for name, value in smallest.items() if name not in resolve_config({"time": "1h"}).planned
    }
    return {**given, "explore": False, "finalists": 2}


def test_a_run_keeps_to_its_time_and_its_plan(options, tmp_path, caplog, always_few_steps):
    with caplog.at_level(logging.INFO):
        began = time.perf_counter()
        pipeline.run(tmp_path / "run", {**options, "time": "6s", "epochs": 1}, workers=1)
        taken = time.perf_counter() - began
    assert taken < 15  # on a machine that does other things too
    (said,) = re.findall(r"plan for 6 s: (\d) batches of (\d+) trials of (1) epochs", caplog.text)
    assert "final trainings of" in caplog.text
    with pipeline.open_search(tmp_path / "run", workers=1) as search:
        config, plan = search.config, search.store.facts.plan
        trials = search.store.trials("search")
        assert plan.final
        assert plan.spent > 0.5
    assert (config.iterations, config.trials_per_batch, config.epochs) == tuple(map(int, said))
    assert len(trials) == config.iterations * config.trials_per_batch
    before = config
    pipeline.run(tmp_path / "run", {**options, "time": "6s", "epochs": 1}, workers=1)
    with pipeline.open_search(tmp_path / "run", workers=1) as search:
        assert search.config == before


def test_a_run_that_was_stopped_goes_on_by_its_plan(options, tmp_path, monkeypatch, always_few_steps):
    asked = {**options, "time": "30m", "iterations": 2, "trials_per_batch": 2, "epochs": 1}
    with pipeline.open_search(tmp_path / "run", asked, workers=1) as search:
        pipeline.pretrain(search)
        plan = search.store.facts.plan
        assert search.config.planned == ("final_epochs",)
    monkeypatch.setattr(_plan, "time_steps", lambda *_: pytest.fail("was measured again"))
    with pipeline.open_search(tmp_path / "run", asked, workers=1) as search:
        families = pipeline.evolve(search)
        assert search.store.facts.plan.costs == plan.costs
        assert search.store.facts.plan.spent > plan.spent
        _plan.plan_finals(search, families)
        length = search.config.final_epochs
        assert length == 120  # there is more time than the longest takes
        _plan.plan_finals(search, families)
        assert search.config.final_epochs == length


def test_too_little_time_is_refused_before_anything_is_trained(options, tmp_path):
    with pytest.raises(UserError, match=r"time is too short: 4 trials of 2 epochs alone take a run of about"):
        pipeline.run(tmp_path / "run", {**options, "time": "1s"}, workers=1)


def test_time_is_of_our_trainer(options, tmp_path):
    own = pipeline.Own(evaluate=lambda candidates, epochs: [])
    with (
        pipeline.open_search(tmp_path / "run", {**options, "time": "1h"}, 1, own=own) as search,
        pytest.raises(UserError, match="time is given with an `evaluate` of yours"),
    ):
        pipeline.pretrain(search)


def test_options_that_are_given_are_not_planned():
    config = resolve_config({"time": "2h", "epochs": 5})
    assert config.time == 7200
    assert config.planned == ("trials_per_batch", "iterations", "final_epochs")
    assert not {"time", "planned"} & resolve_config({}).to_stored().keys()
    again = resolve_config({"time": "2h", "epochs": 5}, config.to_stored())
    assert again == config
    with pytest.raises(UserError, match="time is '2 weeks'"):
        resolve_config({"time": "2 weeks"})


def test_steps_of_a_training_are_timed(options, tmp_path):
    with pipeline.open_search(tmp_path / "run", options, workers=1) as search:
        (candidate,) = search.space.decode(search.pool.genes[:1])
        shares = []
        found = time_steps(search.task(candidate, 1, 1, "search"), 4, shares.append)
    assert isinstance(found, StepTimes)
    assert min(found.setup, found.step, found.evaluation) > 0
    assert found.evaluation < found.step
