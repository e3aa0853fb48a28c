"""What evolution found for each budget, and the best trial of the search inside it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from narsfast.cost import Budget
from narsfast.predictor import Predictor
from narsfast.runs import BestTrial, Family, FoundCandidate, PickedCandidate
from narsfast.search import Evolved
from narsfast.space import Genes

from ._checks import RECIPE
from ._search import Search

Floats = NDArray[np.float64]

KEPT = 10  # candidates of a budget that the run keeps


def trained_genes(search: Search) -> Genes:
    """Return the genes of all candidates that the search trained, (n, F)."""
    return np.array(
        [picked.genes for batch in search.store.batches() for picked in batch.candidates], np.int16
    )


def family_of(search: Search, text: str, budget: Budget, evolved: Evolved, predictor: Predictor) -> Family:
    """Describe what evolution found for one budget, with the best trial inside it as the last candidate."""
    candidates = found_candidates(search, evolved, KEPT)
    best = _best_trial(search, budget)
    if best is not None and all(found.id != best[0].candidate for found in candidates):
        genes = np.array([best[0].genes], np.int16)
        candidates += _found(search, genes, *predictor.predict(genes))
    return Family(
        budget=text,
        label=budget.label() or f"the {RECIPE}",
        generations=evolved.generations,
        candidates=tuple(candidates),
        best_trial=None if best is None else BestTrial(best[0].candidate, best[1], best[2]),
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


def _best_trial(search: Search, budget: Budget) -> tuple[PickedCandidate, float, int] | None:
    """Find the trial of the best label, of those inside the budget that ended well: its candidate, label and epoch."""
    epoch = search.store.facts.early_stop_epoch
    trials = {trial.candidate: trial for trial in search.store.trials("search") if trial.outcome == "ok"}
    trained = [c for batch in search.store.batches() for c in batch.candidates if c.candidate in trials]
    if not trained or epoch is None:
        return None
    counted = search.counter(np.array([picked.genes for picked in trained], np.int16))
    inside = budget.within(counted, search.counter.names)
    label, best = max(
        (
            (trials[picked.candidate].label(epoch, search.data.chance), picked)
            for picked, keeps in zip(trained, inside, strict=True)
            if keeps
        ),
        key=lambda pair: pair[0],
        default=(0.0, None),
    )
    return None if best is None else (best, label, epoch)
