"""A run for a given time: what trainings cost here is measured, and a plan follows, which the run keeps."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from dataclasses import asdict, replace

import numpy as np

from narsfast.common.duration import duration_text
from narsfast.errors import UserError
from narsfast.runs import Family, TimePlan
from narsfast.search import Pool, rungs
from narsfast.training import StepTimes, TrialTask, time_steps

from ._config import PLANNED, RunConfig
from ._schedule import SEARCH_SHARE, Costs, final_epochs, search_schedule
from ._search import Search
from ._tuning import tune_parents

_log = logging.getLogger("narsfast.run")

STEPS = 20
"""Training steps that are timed of each network."""
NETWORKS = (0.1, 0.5, 0.9)
"""Which networks of the pool are timed: at these shares of it by multiply-adds."""
EMISSION = 10.0
"""Seconds for the test and the folder of a network."""
FITTING = 15.0
"""Seconds for a fit of the predictor, and for the evolution."""


def plan(search: Search, pool: Pool) -> None:
    """Measure what trainings cost, and choose number and length of trials; a run that has a plan keeps it.

    Raises:
        UserError: The time is too short, or the user trains with a function of his own.
    """
    config = search.config
    if config.time is None or search.store.facts.plan is not None:
        return
    if search.own.evaluate is not None:
        raise UserError(
            "time is given with an `evaluate` of yours, whose trainings cannot be timed; leave it out"
        )
    tune_parents(search)
    costs = _measured(search, pool)
    train, val = len(search.data.train), len(search.data.val)
    epochs = costs.epoch(*_statistics(search, pool.statistics), train, val)
    usual = {name: getattr(config, name) for name in ("trials_per_batch", "iterations", "epochs")}
    spent = search.seconds()
    batches = usual["iterations"]
    seconds = SEARCH_SHARE * config.time - spent - FITTING * batches
    begun = 1.0
    if config.halving:
        parts = rungs(usual["trials_per_batch"], usual["epochs"])
        begun = sum(rung.candidates for rung in parts) / usual["trials_per_batch"]
    schedule = search_schedule(
        seconds,
        float(epochs.mean()),
        begun * costs.setup,
        search.workers,
        usual,
        config.planned,
        int(config.pool_size / begun),
    )
    _change(search, asdict(schedule))
    search.store.facts.plan = TimePlan(asdict(costs))
    spend(search)
    trial = costs.setup + schedule.epochs * float(epochs.mean())
    _log.info(
        "plan for %s: %d batches of %d trials of %d epochs (about %s each, %d at once) until %s, then the races and the "
        "final trainings; an epoch takes %.1f to %.1f s here, which was measured in %s",
        duration_text(config.time),
        schedule.iterations,
        schedule.trials_per_batch,
        schedule.epochs,
        duration_text(trial),
        search.workers,
        duration_text(SEARCH_SHARE * config.time),
        epochs.min(),
        epochs.max(),
        duration_text(spent),
    )


def plan_finals(search: Search, families: Collection[Family]) -> None:
    """Choose the length of the final trainings by the time that is left, once."""
    config, known = search.config, search.store.facts.plan
    if config.time is None or known is None or known.final or "final_epochs" not in config.planned:
        return
    costs, train, val = Costs(**known.costs), len(search.data.train), len(search.data.val)
    slower = _slower(search, costs)
    by_budget = []
    for family in families:
        racing = [family.found(one.candidate) for one in family.finalists] or list(family.candidates[:1])
        counted = np.array([[found.statistics[name] for name in search.counter.names] for found in racing])
        by_budget.append((slower * costs.epoch(*_statistics(search, counted), train, val)).tolist())
    others = [max(max(row) for row in by_budget)] * (len(config.baselines) + (config.distill is not None))
    left = config.time - known.spent - search.seconds() - EMISSION * len(families)
    length = final_epochs(left, by_budget, others, search.workers, config.final_epochs)
    _change(search, {"final_epochs": length})
    search.store.facts.plan = replace(known, final=True)
    _log.info(
        "plan: final trainings of %d epochs in the %s that are left; trials took %.2f times what was planned",
        length,
        duration_text(max(left, 0.0)),
        slower,
    )


def spend(search: Search) -> None:
    """Note the time that this process has spent on the run, for when it goes on in another one."""
    known = search.store.facts.plan
    if known is not None:
        search.store.facts.plan = replace(known, spent=known.spent + search.seconds())
        search.began = time.perf_counter()


def _measured(search: Search, pool: Pool) -> Costs:
    """Time a few steps of three networks, as many at once as there are workers."""
    order = (
        np.argsort(pool.statistics[:, 0], kind="stable") if pool.statistics.shape[1] else np.arange(len(pool))
    )
    rows = order[[int(share * (len(order) - 1)) for share in NETWORKS]]
    candidates = search.space.decode(pool.genes[rows])
    times: list[list[StepTimes]] = []
    for number, candidate in enumerate(candidates):
        search.progress("time trainings", number, len(candidates))
        task: TrialTask = search.task(candidate, 1, 1, "search")
        running = [search.executor.submit(time_steps, task, STEPS) for _ in range(search.workers)]
        times.append([done.result() for done in search.executor.as_completed(running)])
    search.progress("time trainings", len(candidates), len(candidates))
    return Costs.fitted(
        *_statistics(search, pool.statistics[rows]),
        *(
            [float(np.mean([getattr(one, name) for one in row])) for row in times]
            for name in ("step", "evaluation", "setup")
        ),
    )


def _statistics(search: Search, counted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return multiply-adds and layers (n,) of counted candidates; zeros of what is not counted."""
    names = search.counter.names
    columns = [names.index(name) if name in names else None for name in ("macs", "depth")]
    macs, layers = (np.zeros(len(counted)) if c is None else counted[:, c].astype(float) for c in columns)
    return macs, layers


def _slower(search: Search, costs: Costs) -> float:
    """Return how many times longer the trials took than the costs say, in the median."""
    train, val = len(search.data.train), len(search.data.val)
    counted = search.store.facts.statistics or {}
    ratios = []
    for trial in search.store.trials("search"):
        known = counted.get(trial.candidate)
        if trial.outcome == "ok" and known is not None:
            (epoch,) = costs.epoch([known.get("macs", 0)], [known.get("depth", 0)], train, val)
            ratios.append(trial.seconds / (costs.setup + trial.epochs * epoch))
    return float(np.median(ratios)) if ratios else 1.0


def _change(search: Search, values: dict[str, int]) -> None:
    """Store the options that the plan may choose."""
    for name, value in values.items():
        if name in search.config.planned and name in PLANNED:
            search.store.change_option(name, value)
    search.config = RunConfig.of_stored(search.store.config)
