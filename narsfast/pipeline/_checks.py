"""Refusals before anything is trained: budgets, fronts and networks that a run cannot take."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narsfast.cost import LATENCY, NO_TABLE, STATISTICS, Budget
from narsfast.errors import UserError
from narsfast.predictor import Statistics
from narsfast.search import Pool, band_of
from narsfast.space import PARENT

from ._recipe_search import refuse_bounds
from ._search import Search

_log = logging.getLogger("narsfast.run")

RECIPE = "recipe"
"""In the place of a budget where the recipe of one network is searched."""


def wanted_budgets(search: Search, texts: Iterable[str]) -> dict[str, Budget]:
    """Return the budgets by their texts, one family each; of one network's recipe the one without bounds.

    Raises:
        UserError: A text is no budget, or one is given for one network.
    """
    if search.config.model is not None:
        for text in texts:
            if text != RECIPE:
                refuse_bounds({"budgets": [text]})
        return {RECIPE: Budget({})}
    budgets = [search.budget(text) for text in texts]
    return {budget.text(): budget for budget in budgets}


def inside_pool(search: Search, budget: Budget) -> Budget:
    """Bound a budget below by the pool: the predictor knows nothing of smaller candidates."""
    lowest: dict[str, float] = {}
    for band in map(band_of, search.bands) if search.steered else search.bands:
        for name, (low, _) in band.bounds.items():
            lowest[name] = min(low, lowest.get(name, math.inf))
    if search.steered:  # where the space has too few that use enough of a budget, smaller ones are trained
        smallest = search.pool.statistics.min(axis=0).tolist()
        lowest = {name: min(low, smallest[search.counter.names.index(name)]) for name, low in lowest.items()}
    lowest = {name: low for name, low in lowest.items() if low > 0}
    bounds = {name: (low, math.inf) for name, low in lowest.items()} | dict(budget.bounds)
    return Budget({name: (max(low, lowest.get(name, 0.0)), high) for name, (low, high) in bounds.items()})


def check_reach(search: Search, budget: Budget, said: str) -> None:
    """Refuse bounds that no child of the run's parents can keep, before the pool is sampled; warn of idle ones.

    Latencies and the user's own statistics need not grow with a network, so that they are left to the pool.

    Args:
        search: Of the run.
        budget: Any.
        said: How a message names it.

    Raises:
        UserError: The bounds are below the smallest child or above the largest; the sentence has the range.
    """
    if not search.space.parents or search.config.model is not None:
        return
    counted = _smallest_and_largest(search.counter)
    for name, (low, high) in budget.bounds.items():
        if name not in STATISTICS:
            continue
        column = counted[:, search.counter.names.index(name)]
        least, most = column.min(), column.max()
        bounds = dict.fromkeys(_amount(name, end) for end in (least, most))
        span = f"the networks of space {search.space.name} have {name} {' to '.join(bounds)}"
        if high < least:
            raise UserError(
                f"{said} is below the smallest network ({span}); raise it, or name a smaller parent"
            )
        if low > most:
            raise UserError(
                f"{said} is above the largest network ({span}); lower it, or name a larger parent"
            )
        if math.isfinite(high) and high > most:
            _log.warning("%s is above the largest network (%s), so that %s is not bounded", said, span, name)


def _smallest_and_largest(counter: Statistics) -> NDArray[Any]:
    """Return the statistics (2 * parents, S) of each parent's child with the least of everything, and with the most."""
    space = counter.space
    genes = np.zeros((2 * len(space.values(PARENT)), len(space.fields)), np.int16)
    for column in space.architecture_fields:
        values = space.fields[column].values
        if space.fields[column].name != PARENT:
            genes[::2, column], genes[1::2, column] = np.argmin(values), np.argmax(values)
    genes[:, space.column(PARENT)] = np.repeat(np.arange(len(space.values(PARENT))), 2)
    return np.asarray(counter(space.canonical(genes)))


def check_parents(search: Search) -> None:
    """Refuse parents that cannot take the images, before anything is trained.

    Raises:
        UserError: Naming the parent and the channels.
    """
    for parent in search.space.parents:
        if not search.space.has(PARENT) or parent.name in search.space.values(PARENT):
            search.parents[parent.name].for_channels(search.data.in_chans)


def check_budget(search: Search, budget: Budget, pool: Pool, said: str | None = None) -> None:
    """Refuse a budget that no member of the pool keeps, before anything is trained for it.

    Args:
        search: Of the run.
        budget: Any.
        pool: Of the run.
        said: How a message names it; the default is by its label.
    """
    said = f"budget {budget.label()}" if said is None else said
    names = search.counter.names
    if LATENCY in budget.bounds and LATENCY not in names:
        raise UserError(f"{said} {NO_TABLE}, when the run begins")
    if not budget.within(pool.statistics, names).any():
        columns = {name: pool.statistics[:, names.index(name)] for name in budget.bounds}
        spans = ", ".join(
            f"{name} {_amount(name, column.min())} to {_amount(name, column.max())}"
            for name, column in columns.items()
        )
        raise UserError(
            f"{said}: no member of the pool keeps it (the pool has {spans}); change it, or the pool's bounds"
        )


def tell_untrained(search: Search, budget: Budget, said: str) -> None:
    """Warn of a budget whose networks the run trained nothing near to: predictions are guesses there.

    Args:
        search: Of a run whose predictor is fitted.
        budget: Of the networks, or of a front.
        said: How the message names it.
    """
    if not search.steered or search.config.model is not None:
        return
    for name, (_, high) in budget.bounds.items():
        most = max((band.bounds[name][1] for band in search.bands if name in band.bounds), default=math.inf)
        if high > most:
            _log.warning(
                "%s reaches beyond the run's budgets, and its trainings were steered to these: of networks with more "
                "than %s %s its predictions are guesses; a run with `explore` trains such networks too",
                said,
                _amount(name, most),
                name,
            )


def refuse_front(search: Search, statistics: Iterable[str]) -> None:
    """Refuse a front against statistics that the run does not count.

    Raises:
        UserError: Naming the first; or the run has one network, whose cost is one.
    """
    if search.config.model is not None:
        raise UserError(
            "the run searches the recipe of one network, of one cost: there is no front of it to show"
        )
    for name in statistics:
        if name not in search.counter.names:
            raise UserError(
                f"statistic {name!r} is not counted here; counted are {', '.join(search.counter.names)}"
            )


def check_model(search: Search) -> None:
    """Refuse a network that cannot take the images before anything is trained for it; the report names its cost."""
    if search.config.model is not None and not search.store.batches():
        search.store.facts.model_statistics = search.model_statistics


def _amount(name: str, value: float) -> str:
    if name == LATENCY:
        return f"{value:.3g} ms"
    return f"{int(value):,}" if float(value).is_integer() else f"{value:,}"
