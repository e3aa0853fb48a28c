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

    Args:
        trials: In any order, which has no influence on the label of each.
        epoch: At which they are compared, 1-based.
        chance: What a training that did not end well, or earlier, is worth (`narsfast.common.trial.Trial.label`).
        noise: Of the accuracies; with it labels are `standings`, which have less of it. None takes accuracies as they
            are, as versions 0.1 and 0.2 did.
    """
    labels = np.array([trial.label(epoch, chance) for trial in trials], np.float64)
    if noise is None:
        return labels
    well = [
        place for place, trial in enumerate(trials) if trial.outcome == "ok" and len(trial.curve) >= epoch
    ]
    order = sorted(well, key=lambda place: trials[place].candidate)  # sums have an order
    known = standings([trials[place].until(epoch) for place in order], noise.images)
    labels[order] = [found.accuracy for found in known]
    return labels
