"""Who judges candidates: the network alone, or where trainings are steered process and network together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from narsfast.predictor import Noise, Predictor, Process, Surrogate
from narsfast.search import labels_of
from narsfast.space import Genes

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
    process = process_of(search)
    known = None if process is None else labeled(search)
    if process is None or known is None:
        return predictor
    return Surrogate(process, predictor).fit(*known, search.seed("judge"))


def labeled(search: Search) -> tuple[Genes, NDArray[np.float64]] | None:
    """Return genes (n, F) and labels (n,), percent, of all trials by their ids; None before any is known."""
    epoch = search.store.facts.early_stop_epoch
    if epoch is None:
        return None
    trials = {trial.candidate: trial for trial in search.store.trials("search")}
    picked = sorted(
        (one for batch in search.store.batches() for one in batch.candidates if one.candidate in trials),
        key=lambda one: one.candidate,
    )
    known = [trials[one.candidate] for one in picked]
    labels = labels_of(known, epoch, search.data.chance, search.store.facts.label_noise)
    return np.array([one.genes for one in picked], np.int16), labels


def caution_of(search: Search) -> float:
    """Return how many deviations evolution takes off."""
    return CAUTION if search.steered and search.config.finalists > 1 else 0.0
