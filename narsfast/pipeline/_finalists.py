"""Who races for a budget, and the trials of the search that are inside it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from narsfast.cost import Budget
from narsfast.predictor import Predictor
from narsfast.runs import Finalist, Origin
from narsfast.search import Evolved
from narsfast.space import Genes

from ._anchors import anchors
from ._finals import standard_error
from ._search import Search

Floats = NDArray[np.float64]


def trials_inside(search: Search, budget: Budget) -> tuple[Genes, Floats]:
    """Return the trials inside a budget that ended well, in the order in which they were picked.

    Returns:
        Genes (n, F) and labels (n,), percent.
    """
    epoch = search.store.facts.early_stop_epoch
    trials = {trial.candidate: trial for trial in search.store.trials("search") if trial.outcome == "ok"}
    picked = [c for batch in search.store.batches() for c in batch.candidates if c.candidate in trials]
    genes = np.array([one.genes for one in picked], np.int16).reshape(-1, len(search.space.fields))
    if epoch is None or not len(genes):
        return genes[:0], np.empty(0)
    labels = np.array([trials[one.candidate].label(epoch, search.data.chance) for one in picked])
    inside = budget.within(search.counter(genes), search.counter.names)
    return genes[inside], labels[inside]


def finalists_of(
    search: Search, budget: Budget, evolved: Evolved, predictor: Predictor
) -> list[tuple[Finalist, Genes]]:
    """Choose who races for a budget, with genes (F,).

    Half of them are trials of the search, by their labels and the predictor, each weighted by its precision. The others
    were found by evolution, by their predicted accuracy less its deviation. No two have the same architecture where it
    is searched, and none the same recipe and architecture. Then comes the anchor of the best label.
    """
    count, found = search.config.finalists, list[tuple[Finalist, Genes]]()
    taken: set[bytes] = set()

    def take(genes: Genes, origin: Origin, most: int) -> None:
        for candidate, row in zip(search.space.decode(genes), genes, strict=True):
            shape = _shape(search, row)
            if len(found) < most and shape not in taken:
                taken.add(shape)
                found.append((Finalist(candidate.id, origin), row))

    trained, labels = trials_inside(search, budget)
    take(
        trained[np.argsort(-_posterior(search, predictor, trained, labels), kind="stable")],
        "trial",
        count // 2,
    )
    take(evolved.genes[np.argsort(-(evolved.scores - evolved.std), kind="stable")], "evolved", count)
    anchor = _anchor(search, budget, trained, labels)
    known = {finalist.candidate for finalist, _ in found}
    for candidate, row in zip(search.space.decode(anchor), anchor, strict=True):
        if candidate.id not in known:
            found.append((Finalist(candidate.id, "anchor"), row))
    return found


def _shape(search: Search, genes: Genes) -> bytes:
    columns = search.space.architecture_fields if search.space.searches_architecture else slice(None)
    return genes[columns].tobytes()


def _posterior(search: Search, predictor: Predictor, genes: Genes, labels: Floats) -> Floats:
    """Return the mean of labels and predictions (n,), each weighted by its precision."""
    if not len(genes):
        return labels
    means, deviations = predictor.predict(genes)
    noise = np.array([standard_error(label, len(search.data.val)) for label in labels])
    share = noise**2 / np.maximum(noise**2 + deviations**2, 1e-9)
    mixed: Floats = share * means + (1 - share) * labels
    return mixed


def _anchor(search: Search, budget: Budget, trained: Genes, labels: Floats) -> Genes:
    """Return the anchor of the best label, (1, F), or one that is not trained; none where none keeps the budget."""
    known = anchors(search.counter, [budget])[0]
    known = known[budget.within(search.counter(known), search.counter.names)]
    best = dict(zip(search.space.keys(trained).tolist(), labels.tolist(), strict=True))
    order = sorted(
        range(len(known)), key=lambda row: -best.get(int(search.space.keys(known[[row]])[0]), -math.inf)
    )
    return known[order[:1]]
