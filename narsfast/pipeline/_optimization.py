"""Algorithm 1 of a run: where it begins or goes on, and what is kept of it at its end."""

from __future__ import annotations

import numpy as np

from narsfast.common.machine import persistently
from narsfast.predictor import Predictor, save_predictor
from narsfast.runs import forget_unpicked
from narsfast.search import IterativeOptimization, PickedBatch

from ._judge import process_of
from ._search import Search
from ._trials import remove_unused, store_fits

AFTER_OPTIMIZE = ("evolve", "train", "emit", "done")
"""Stages of a run whose predictor is final."""


def start_optimization(search: Search, pretrained: Predictor) -> IterativeOptimization:
    """Return Algorithm 1 of a run: before its first batch, or before the last one that it has picked."""
    if search.store.facts.stage not in AFTER_OPTIMIZE:
        search.store.facts.stage = "optimize"
    config = search.config
    steps = IterativeOptimization(
        search.pool,
        pretrained,
        batch=config.trials_per_batch,
        iterations=config.iterations,
        epochs=config.epochs,
        chance=search.data.chance,
        seed=search.seed("optimise"),
        threshold=config.threshold,
        correlation=config.correlation,
        halving=config.halving,
        steered=search.steered,
        noise=search.store.facts.label_noise,
        process=process_of(search),
        on_fit=lambda fits, _: store_fits(search, fits, steps.early_stopping),
        progress=search.progress,
    )
    _restore(search, steps)
    return steps


def _restore(search: Search, steps: IterativeOptimization) -> None:
    """Pass over the batches that the run has learned, but for the fit by which the last batch was picked.

    A run of which something is not known picks and learns all of them again.
    """
    facts, known = search.store.facts, search.store.batches()
    learned, fits = known[:-1], facts.fits or ()
    if facts.early_stopping is None or len(learned) < 2 or len(fits) < len(learned) - 1:
        return
    trials = search.store.trials("search")
    if {one.candidate for batch in learned for one in batch.candidates} - {one.candidate for one in trials}:
        return
    keys = search.space.keys(search.pool.genes)
    rows = {key: row for row, key in enumerate(keys.tolist())}
    batches = []
    for batch in learned:
        genes = np.array([one.genes for one in batch.candidates], np.int16)
        indices = [rows.get(key) for key in search.space.keys(genes).tolist()]
        if None in indices:
            return
        scores = tuple(one.score for one in batch.candidates)
        batches.append(PickedBatch(batch.index, np.array(indices, np.int64), genes, scores, batch.epochs))
    steps.restore(batches, trials, facts.early_stopping, fits[: len(learned) - 1])


def finish_optimization(search: Search, steps: IterativeOptimization) -> Predictor:
    """Keep the predictor of an Algorithm 1 that has learned all its batches."""
    predictor = steps.outcome().predictor
    remove_unused(search)
    persistently(lambda: save_predictor(predictor, search.store.path / "predictor"), "saving the predictor")
    if search.store.facts.stage not in AFTER_OPTIMIZE:
        persistently(lambda: forget_unpicked(search.store), "writing to the run")
        search.store.facts.stage = "evolve"
    return predictor
