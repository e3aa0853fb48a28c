"""What the stages say of evolved candidates: budgets against the pool, and candidates in JSON types."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .context import Search
from .cost import LATENCY, NO_TABLE, Budget
from .errors import UserError
from .network_source import refuse_bounds
from .predictor import Predictor
from .runs import BatchMember
from .search import Evolved, Pool
from .space import Genes

Floats = NDArray[np.float64]

KEPT = 10  # candidates of a budget that the run keeps

RECIPE = "recipe"
"""In the place of a budget where the recipe of one network is searched."""


def wanted_budgets(search: Search, texts: Iterable[str]) -> dict[str, Budget]:
    """The budgets that a family each is wanted for, by text; of one network's recipe the one without bounds.

    Raises:
        UserError: a text is no budget, or one is given for one network.
    """
    if search.config.model is not None:
        for text in texts:
            if text != RECIPE:
                refuse_bounds({"budgets": [text]})
        return {RECIPE: Budget({})}
    budgets = [Budget.parse(text) for text in texts]
    return {budget.text(): budget for budget in budgets}


def trained_genes(search: Search) -> Genes:
    """Genes of all candidates that the search trained, (n, F)."""
    return np.array([member.genes for batch in search.run.batches() for member in batch.members], np.int16)


def inside_pool(search: Search, budget: Budget) -> Budget:
    """The budget, not below the pool: the predictor knows nothing of candidates smaller than those."""
    pool = Budget.parse(search.config.pool_bounds).bounds if search.config.pool_bounds else {}
    lowest = {name: low for name, (low, _) in pool.items() if low > 0}
    bounds = {name: (low, math.inf) for name, low in lowest.items()} | dict(budget.bounds)
    return Budget({name: (max(low, lowest.get(name, 0.0)), high) for name, (low, high) in bounds.items()})


def check_budget(search: Search, budget: Budget, pool: Pool) -> None:
    """Refuse a budget that no member of the pool keeps, before anything is trained for it."""
    names = search.counter.names
    if LATENCY in budget.bounds and LATENCY not in names:
        raise UserError(f"budget {budget.label()} {NO_TABLE}, when the run begins")
    if not budget.within(pool.statistics, names).any():
        columns = {name: pool.statistics[:, names.index(name)] for name in budget.bounds}
        spans = ", ".join(
            f"{name} {_amount(name, column.min())} to {_amount(name, column.max())}"
            for name, column in columns.items()
        )
        raise UserError(
            f"budget {budget.label()}: no member of the pool keeps it (the pool has {spans}); "
            "change it, or the pool's bounds"
        )


def refuse_front(search: Search, statistics: Iterable[str]) -> None:
    """Refuse a front against statistics that the run does not count.

    Raises:
        UserError: naming the first; or the run has one network, whose cost is one.
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
    if search.config.model is not None and not search.run.batches():
        search.run.put_fact("model_statistics", search.model_statistics)


def _amount(name: str, value: float) -> str:
    return f"{value:.3g} ms" if name == LATENCY else f"{value:,}"


def family_of(
    search: Search, text: str, budget: Budget, evolved: Evolved, predictor: Predictor
) -> dict[str, Any]:
    """What evolution found for one budget, in JSON types, and the best trial inside it as the last candidate."""
    rows = candidate_rows(search, evolved, KEPT)
    best = _best_trial(search, budget)
    if best is not None and all(row["id"] != best[0].candidate for row in rows):
        genes = np.array([best[0].genes], np.int16)
        rows += _rows(search, genes, *predictor.predict(genes))
    return {
        "budget": text,
        "label": budget.label() or f"the {RECIPE}",
        "generations": evolved.generations,
        "candidates": rows,
        "best_trial": best and {"candidate": best[0].candidate, "accuracy": best[1], "epochs": best[2]},
    }


def candidate_rows(search: Search, evolved: Evolved, count: int) -> list[dict[str, Any]]:
    """The first `count` candidates in JSON types; `std` is the predictor's stated deviation."""
    return _rows(search, evolved.genes[:count], evolved.scores[:count], evolved.std[:count])


def _rows(search: Search, genes: Genes, scores: Floats, deviations: Floats) -> list[dict[str, Any]]:
    return [
        {
            "id": candidate.id,
            "architecture": candidate.architecture,
            "recipe": candidate.recipe,
            "predicted": score,
            "std": deviation,
            "statistics": counted,
        }
        for candidate, score, deviation, counted in zip(
            search.space.decode(genes),
            np.clip(scores, 0, 100).tolist(),
            deviations.tolist(),
            search.statistics(genes),
            strict=True,
        )
    ]


def _best_trial(search: Search, budget: Budget) -> tuple[BatchMember, float, int] | None:
    """Of the trials of the search inside the budget that ended well, the one of the best label: label and epoch too."""
    epoch = search.run.fact("early_stop_epoch")
    trials = {trial.candidate: trial for trial in search.run.trials("search") if trial.outcome == "ok"}
    members = [m for batch in search.run.batches() for m in batch.members if m.candidate in trials]
    if not members:
        return None
    counted = search.counter(np.array([member.genes for member in members], np.int16))
    inside = budget.within(counted, search.counter.names)
    label, best = max(
        (
            (trials[member.candidate].label(epoch, search.data.chance), member)
            for member, keeps in zip(members, inside, strict=True)
            if keeps
        ),
        key=lambda pair: pair[0],
        default=(0.0, None),
    )
    return None if best is None else (best, label, epoch)
