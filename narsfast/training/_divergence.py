"""When a training has gone wrong for good. All limits are this project's choice."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_UNIFORM_FACTOR = 2.0
_UNIFORM_EPOCHS = 3
_GUESS_EPOCHS = 5


class DivergedError(Exception):
    """The loss is not a number any more, or stays as high as a guess's."""


class Divergence:
    """Looks at the mean losses of the epochs.

    Args:
        labels: (n,) of the training images.
        classes: how many there are.
        label_smoothing: share of the targets that is spread over all classes.
        taught: whether a teacher's answers are in the loss, which a guess's cannot be compared with then.
    """

    def __init__(self, labels: NDArray[np.int64], classes: int, label_smoothing: float, taught: bool) -> None:
        uniform = _UNIFORM_FACTOR * math.log(classes)
        self._limits = [
            (uniform, _UNIFORM_EPOCHS, f"{_UNIFORM_FACTOR:g} times a uniform guess's"),
        ]
        if not taught:
            guess = guessing_loss(labels, classes, label_smoothing)
            self._limits.append((guess, _GUESS_EPOCHS, "that of one answer for all images"))

    def check(self, losses: Sequence[float]) -> None:
        """After an epoch, with the losses of all so far.

        Raises:
            DivergedError: the last ones are all above a limit, or the last is not finite.
        """
        if not math.isfinite(losses[-1]):
            raise DivergedError("the loss is not finite")
        for limit, epochs, name in self._limits:
            if len(losses) >= epochs and min(losses[-epochs:]) > limit:
                raise DivergedError(f"the loss stays above {limit:.2f}, {name},")


def guessing_loss(labels: NDArray[np.int64], classes: int, label_smoothing: float) -> float:
    """The least mean cross entropy that one answer for all images can have: the entropy of the mean target.

    Mixing images does not change that mean. Arguments as of `Divergence`.
    """
    shares = np.bincount(labels, minlength=classes) / len(labels)
    target = (1 - label_smoothing) * shares + label_smoothing / classes
    target = target[target > 0]
    return float(-(target * np.log(target)).sum())
