"""When a training counts as diverged. All limits are this project's choice."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_UNIFORM_FACTOR = 2.0
_UNIFORM_EPOCHS = 3
_GUESS_EPOCHS = 5


class DivergedError(Exception):
    """The loss is no longer finite, or stays as high as that of a guess."""


class Divergence:
    """Compares the mean losses of the epochs with those of guesses.

    Args:
        labels: (n,) of the training images.
        classes: Number of classes.
        label_smoothing: Share of the targets that is spread over all classes.
        distilled: Whether a teacher is part of the loss, which then cannot be compared with that of a guess.
    """

    def __init__(
        self, labels: NDArray[np.int64], classes: int, label_smoothing: float, distilled: bool
    ) -> None:
        uniform = _UNIFORM_FACTOR * math.log(classes)
        self._limits = [
            (uniform, _UNIFORM_EPOCHS, f"{_UNIFORM_FACTOR:g} times a uniform guess's"),
        ]
        if not distilled:
            guess = guessing_loss(labels, classes, label_smoothing)
            self._limits.append((guess, _GUESS_EPOCHS, "that of one answer for all images"))

    def check(self, losses: Sequence[float]) -> None:
        """Check the losses of all epochs so far.

        Raises:
            DivergedError: The last ones are all above a limit, or the last one is not finite.
        """
        if not math.isfinite(losses[-1]):
            raise DivergedError("the loss is not finite")
        for limit, epochs, name in self._limits:
            if len(losses) >= epochs and min(losses[-epochs:]) > limit:
                raise DivergedError(f"the loss stays above {limit:.2f}, {name},")


def guessing_loss(labels: NDArray[np.int64], classes: int, label_smoothing: float) -> float:
    """Return the least mean cross entropy of one answer for all images: the entropy of the mean target.

    Mixing images does not change that mean. The arguments are those of `Divergence`.
    """
    shares = np.bincount(labels, minlength=classes) / len(labels)
    target = (1 - label_smoothing) * shares + label_smoothing / classes
    target = target[target > 0]
    return float(-(target * np.log(target)).sum())
