"""What the predictor learns of trials: accuracies, and what their cross-entropies say of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from narsfast.common.label_noise import LabelNoise
from narsfast.common.trial import Trial

from ._standing import standings


def labels_of(
    trials: Sequence[Trial], epoch: int, chance: float, noise: LabelNoise | None = None
) -> NDArray[np.float64]:
    """Return the labels of trials, percent (n,).

    A training that was cut before that epoch, and ended well, is worth its label there and what the others gained from
    there on, in the mean; that is this project's choice.

    Args:
        trials: In any order, which has no influence on the label of each.
        epoch: At which they are compared, 1-based.
        chance: What a training that did not end well is worth, and one that was cut where no other goes on.
        noise: Of the accuracies; with it labels are `standings`, which have less of it. None takes accuracies as they
            are, as versions 0.1 and 0.2 did.
    """
    order = sorted(range(len(trials)), key=lambda place: trials[place].candidate)  # sums have an order
    well = [place for place in order if trials[place].outcome == "ok"]
    lengths = np.array([len(trials[place].curve) for place in well], np.int64)
    known = np.full(len(well), chance)
    full = lengths >= epoch
    known[full] = _labels_at([trials[well[row]] for row in np.flatnonzero(full)], epoch, noise)
    for length in np.unique(lengths[(lengths > 0) & ~full]) if full.any() else ():
        rows = np.flatnonzero(full | (lengths == length))
        there = _labels_at([trials[well[row]] for row in rows], int(length), noise)
        gain = float((known[rows] - there)[full[rows]].mean())
        known[rows] = np.where(full[rows], known[rows], np.minimum(100.0, there + gain))
    labels = np.full(len(trials), chance)
    labels[well] = known
    return labels


def _labels_at(trials: Sequence[Trial], epoch: int, noise: LabelNoise | None) -> NDArray[np.float64]:
    """Return the labels (n,) of trials that were trained so long, at this epoch."""
    if noise is None:
        return np.array([trial.curve[epoch - 1] for trial in trials], np.float64)
    known = standings([trial.until(epoch) for trial in trials], noise.images)
    return np.array([found.accuracy for found in known], np.float64)
