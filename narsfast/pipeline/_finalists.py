"""Who races for a budget, and the trials of the search that are inside it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from narsfast.common.label_noise import LabelNoise, label_noise
from narsfast.cost import Budget
from narsfast.predictor import Predictor, Surrogate
from narsfast.runs import Finalist, Origin
from narsfast.search import Evolved, labels_of
from narsfast.space import Genes, Space

from ._anchors import anchors
from ._search import Search

Floats = NDArray[np.float64]


def trials_inside(search: Search, budget: Budget, noise: LabelNoise | None = None) -> tuple[Genes, Floats]:
    """Return the trials inside a budget that ended well, in the order in which they were picked.

    Args:
        search: Of the run.
        budget: Any.
        noise: As for `labels_of`.

    Returns:
        Genes (n, F) and labels (n,), percent.
    """
    epoch = search.store.facts.early_stop_epoch
    trials = {trial.candidate: trial for trial in search.store.trials("search") if trial.outcome == "ok"}
    picked = [c for batch in search.store.batches() for c in batch.candidates if c.candidate in trials]
    genes = np.array([one.genes for one in picked], np.int16).reshape(-1, len(search.space.fields))
    if epoch is None or not len(genes):
        return genes[:0], np.empty(0)
    known = [trials[one.candidate] for one in picked]
    labels = labels_of(known, epoch, search.data.chance, noise)
    inside = budget.within(search.counter(genes), search.counter.names)
    return genes[inside], labels[inside]


def finalists_of(
    search: Search, budget: Budget, evolved: Evolved, predictor: Predictor | Surrogate
) -> list[tuple[Finalist, NDArray[np.int16]]]:
    """Choose who races for a budget (`choose_finalists`), with genes (F,)."""
    space = search.space
    trained, labels = trials_inside(search, budget, search.store.facts.label_noise)
    known = anchors(search.counter, [budget])[0]
    known = known[budget.within(search.counter(known), search.counter.names)]
    chosen = choose_finalists(
        predictor,
        trained,
        labels,
        len(search.data.val),
        evolved.genes,
        evolved.scores - evolved.std,
        best_anchor(space, known, trained, labels),
        search.config.finalists,
    )
    rows = np.array([row for _, row in chosen], np.int16).reshape(-1, len(space.fields))
    names = space.ids(rows)
    return [(Finalist(name, origin), row) for name, (origin, row) in zip(names, chosen, strict=True)]


def choose_finalists(
    predictor: Predictor | Surrogate,
    trained: Genes,
    labels: Floats,
    images: int,
    found: Genes,
    scores: Floats,
    anchor: Genes,
    count: int,
) -> list[tuple[Origin, NDArray[np.int16]]]:
    """Choose who races for a budget: why, and genes (F,).

    Half of them are trials of the search, by their labels and the predictor, each weighted by its precision. The others
    were found. No two have the same architecture where it is searched. Then comes the anchor, unless it races already.

    Args:
        predictor: Fitted to all trials.
        trained: Trials inside the budget, (n, F).
        labels: Of these, percent (n,).
        images: Of the validation split.
        found: Candidates that evolution found, (m, F).
        scores: What they are ranked by, (m,).
        anchor: (1, F), or none (0, F).
        count: How many race beside the anchor.
    """
    space = predictor.space
    columns = space.architecture_fields if space.searches_architecture else np.arange(len(space.fields))
    chosen: list[tuple[Origin, NDArray[np.int16]]] = []
    shapes: set[bytes] = set()

    def take(origin: Origin, genes: Genes, worth: Floats, most: int) -> None:
        for row in genes[np.argsort(-worth, kind="stable")]:
            if len(chosen) < most and (shape := row[columns].tobytes()) not in shapes:
                shapes.add(shape)
                chosen.append((origin, row))

    take("trial", trained, _posterior(predictor, trained, labels, images), count // 2)
    take("evolved", found, scores, count)
    for row in anchor:
        if all((row != known).any() for _, known in chosen):
            chosen.append(("anchor", row))
    return chosen


def best_anchor(space: Space, known: Genes, trained: Genes, labels: Floats) -> Genes:
    """Return the anchor of the best label, (1, F), or one that is not trained; none where none is known."""
    found = dict(zip(space.keys(trained).tolist(), labels.tolist(), strict=True))
    worth = [found.get(key, -math.inf) for key in space.keys(known).tolist()]
    return known[np.argsort(-np.array(worth), kind="stable")[:1]]


def _posterior(predictor: Predictor | Surrogate, genes: Genes, labels: Floats, images: int) -> Floats:
    """Return the mean of labels and predictions (n,), each weighted by its precision."""
    if not len(genes):
        return labels
    means, deviations = predictor.predict(genes)
    noise = label_noise(labels, images)
    share = noise / np.maximum(noise + deviations**2, 1e-9)
    mixed: Floats = share * means + (1 - share) * labels
    return mixed
