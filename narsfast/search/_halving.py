"""Successive halving inside a batch: many trainings begin, and the more promising half of each budget's goes on.

Successive halving is by Jamieson and Talwalkar (AISTATS 2016); its lengths, that a batch costs no more epochs than one
without it, and how ties are broken are this project's choice. After few epochs accuracies differ by less than their
noise. PASHA (Bohdal et al., ICLR 2023) takes such ranks for equal; here the process that picks the candidates shares
their labels out between them, so that a difference within the noise counts for less than what is known of the candidates
themselves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from narsfast.common.label_noise import LabelNoise
from narsfast.common.trial import Trial
from narsfast.predictor import Process
from narsfast.space import Genes

from ._labels import labels_of

SHARES = (1 / 4, 1 / 2, 1.0)
"""Shares of a trial's epochs after which half of the candidates go on."""


@dataclass(frozen=True)
class Rung:
    """A part of a batch's trainings.

    Attributes:
        candidates: How many are trained.
        epochs: Up to which, counted from the beginning of their trainings.
    """

    candidates: int
    epochs: int


def rungs(batch: int, epochs: int) -> tuple[Rung, ...]:
    """Return the rungs of a batch that costs at most as many epochs as `batch` trainings of `epochs`.

    Trainings of one epoch have one rung, which is no halving.
    """
    lengths = sorted({math.ceil(share * epochs) for share in SHARES})
    steps = np.diff([0, *lengths])
    count = batch
    while (steps * _halved(count + 1, len(lengths))).sum() <= batch * epochs:
        count += 1
    return tuple(map(Rung, _halved(count, len(lengths)).tolist(), lengths))


def _halved(count: int, rungs: int) -> NDArray[np.int64]:
    return np.maximum(1, count // 2 ** np.arange(rungs))


def reached(trial: Trial, epochs: int) -> Trial:
    """Return what was known of a trial after so many epochs, which it may have ended badly later."""
    known = trial.until(epochs)
    if len(trial.curve) < epochs:
        return known
    return Trial(known.candidate, known.curve, "ok", epochs, known.seconds, metrics=known.metrics)


def worth_going_on(
    trials: Sequence[Trial],
    genes: Genes,
    epochs: int,
    chance: float,
    noise: LabelNoise | None,
    process: Process | None,
) -> NDArray[np.float64]:
    """Return by what candidates are ranked after so many epochs: their labels there, as the process sees them (n,).

    Args:
        trials: That were trained so long, and others, which do not count where they were not.
        genes: Of their candidates, (n, F).
        epochs: At which they are compared.
        chance: As for `labels_of`.
        noise: As for `labels_of`.
        process: Not fitted; None is the labels alone.
    """
    labels = labels_of([reached(trial, epochs) for trial in trials], epochs, chance, noise)
    long_enough = np.array([len(trial.curve) >= epochs for trial in trials])
    if process is None or not long_enough.any():
        return labels
    worth = labels.copy()
    fitted = process.fit(genes[long_enough], labels[long_enough], 0)
    worth[long_enough] = fitted.scores(genes[long_enough])
    return worth


def promoted(worth: NDArray[np.float64], bands: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return the places (count,) of those that go on, in their order: the best ones, as many of each band.

    Args:
        worth: By what they are ranked, (n,).
        bands: Number of the band of each, (n,): accuracies under different budgets are not compared.
        count: How many go on, at most n.
    """
    order = np.argsort(-worth, kind="stable")
    turns = np.empty(len(order), np.int64)
    for band in np.unique(bands):
        mine = np.flatnonzero(bands[order] == band)
        turns[mine] = np.arange(len(mine))
    return np.sort(order[np.argsort(turns, kind="stable")[:count]])
