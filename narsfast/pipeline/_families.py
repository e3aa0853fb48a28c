"""What the stages say of evolved candidates: budgets against the pool, and candidates in JSON types."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from narsfast.cost import Budget
from narsfast.predictor import Predictor
from narsfast.runs import BatchMember
from narsfast.search import Evolved
from narsfast.space import Genes

from ._checks import RECIPE
from ._search import Search

Floats = NDArray[np.float64]

KEPT = 10  # candidates of a budget that the run keeps


def trained_genes(search: Search) -> Genes:
    """Genes of all candidates that the search trained, (n, F)."""
    return np.array([member.genes for batch in search.run.batches() for member in batch.members], np.int16)


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
