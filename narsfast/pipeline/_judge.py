"""Who judges candidates: the network alone, or where trainings are steered process and network together."""

from __future__ import annotations

import numpy as np

from narsfast.predictor import Noise, Predictor, Process, Surrogate
from narsfast.search import labels_of

from ._search import Search

CAUTION = 1.0
"""Standard deviations that evolution takes off a prediction where candidates race: the best of a whole space is else the
one about which most is wrong (this project's choice)."""


def process_of(search: Search) -> Process | None:
    """Return the process of a run whose trainings are steered, not fitted; None of others."""
    if not search.steered:
        return None
    return Process.of(search.counter, search.pool.genes, Noise(len(search.data.val)))


def judge_of(search: Search, predictor: Predictor) -> Predictor | Surrogate:
    """Return what predicts accuracies in a run that is optimized.

    A surrogate is fitted to the run's trials, which takes a moment, so that it is not stored.

    Args:
        search: Of the run.
        predictor: Fitted to all trials.
    """
    process, epoch = process_of(search), search.store.facts.early_stop_epoch
    if process is None or epoch is None:
        return predictor
    trials = {trial.candidate: trial for trial in search.store.trials("search")}
    picked = sorted(
        (one for batch in search.store.batches() for one in batch.candidates if one.candidate in trials),
        key=lambda one: one.candidate,
    )
    known = [trials[one.candidate] for one in picked]
    labels = labels_of(known, epoch, search.data.chance, search.store.facts.label_noise)
    genes = np.array([one.genes for one in picked], np.int16)
    return Surrogate(process, predictor).fit(genes, labels, search.seed("judge"))


def caution_of(search: Search) -> float:
    """Return how many deviations evolution takes off."""
    return CAUTION if search.steered and search.config.finalists > 1 else 0.0
