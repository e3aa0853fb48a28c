"""What evolution found for each budget, and the best trial of the search inside it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from narsfast.cost import Budget
from narsfast.predictor import Predictor, Surrogate
from narsfast.runs import BestTrial, Family, FoundCandidate
from narsfast.search import Evolved
from narsfast.space import Genes

from ._checks import RECIPE
from ._finalists import finalists_of, trials_inside
from ._search import Search

Floats = NDArray[np.float64]

KEPT = 10  # candidates of a budget that the run keeps


def trained_genes(search: Search) -> Genes:
    """Return the genes of all candidates that the search trained, (n, F)."""
    return np.array(
        [picked.genes for batch in search.store.batches() for picked in batch.candidates], np.int16
    )


def family_of(
    search: Search, text: str, budget: Budget, evolved: Evolved, predictor: Predictor | Surrogate
) -> Family:
    """Describe what evolution found for one budget, who races for it, and the best trial inside it."""
    candidates = found_candidates(search, evolved, KEPT)
    raced = finalists_of(search, budget, evolved, predictor) if search.config.finalists > 1 else []
    best = _best_trial(search, budget)
    rows = [genes for _, genes in raced] + ([] if best is None else [best[1]])
    others = np.array(rows, np.int16).reshape(-1, len(search.space.fields))
    for found in _found(search, others, *predictor.predict(others)) if len(others) else []:
        if all(found.id != known.id for known in candidates):
            candidates.append(found)
    return Family(
        budget=text,
        label=budget.label() or f"the {RECIPE}",
        generations=evolved.generations,
        candidates=tuple(candidates),
        best_trial=None if best is None else best[0],
        finalists=tuple(finalist for finalist, _ in raced),
    )


def found_candidates(search: Search, evolved: Evolved, count: int) -> list[FoundCandidate]:
    """Return the first `count` candidates that evolution found."""
    return _found(search, evolved.genes[:count], evolved.scores[:count], evolved.std[:count])


def _found(search: Search, genes: Genes, scores: Floats, deviations: Floats) -> list[FoundCandidate]:
    return [
        FoundCandidate(*found)
        for found in zip(
            search.space.decode(genes),
            np.clip(scores, 0, 100).tolist(),
            deviations.tolist(),
            search.statistics(genes),
            strict=True,
        )
    ]


def _best_trial(search: Search, budget: Budget) -> tuple[BestTrial, NDArray[np.int16]] | None:
    """Find the trial of the best label, of those inside the budget that ended well, and its genes (F,)."""
    epoch = search.store.facts.early_stop_epoch
    genes, labels = trials_inside(search, budget)
    if epoch is None or not len(labels):
        return None
    row = int(np.argmax(labels))
    (name,) = search.space.ids(genes[[row]])
    return BestTrial(name, float(labels[row]), epoch), genes[row]
