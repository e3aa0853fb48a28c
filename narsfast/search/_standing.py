"""What trained networks are worth, by all that their validation says: the choice between networks that are trained.

An accuracy on a few hundred images counts right and wrong answers; the cross-entropy on the same images also knows how
sure each answer was, and so orders networks of one run with less noise, but on another scale. Here the accuracies are
drawn towards their regression on the cross-entropies, by as much as their noise exceeds what the regression leaves
unexplained (the estimator of Fay and Herriot, JASA 1979; its error by Prasad and Rao, JASA 1990). That it is used for
this is this project's choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from narsfast.common.label_noise import LabelNoise
from narsfast.common.trial import Trial

LAST_SHARE = 0.1
"""Share of a training whose epochs count, at least one: while accuracies still rise, earlier ones mislead (this
project's choice)."""

MIN_TRIALS = 3
"""Fewest trials with a cross-entropy for a regression on it: two make a line without an error."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Standing:
    """What a trained network is worth on images like those of the validation split.

    Attributes:
        accuracy: Estimate, percent.
        deviation: Of its error, points: of the choice of images, as the seed is part of a trained network.
    """

    accuracy: float
    deviation: float


def standings(trials: Sequence[Trial], images: int) -> tuple[Standing, ...]:
    """Estimate what trained networks are worth, from accuracies and cross-entropies over their last epochs.

    Args:
        trials: That ended well, validated on the same images.
        images: Number of images in the validation split.

    Returns:
        One per trial. Where fewer than three trials have a cross-entropy, and for a trial without one, it is the mean
        accuracy over the last epochs.

    Raises:
        ValueError: A trial has no epoch.
    """
    if empty := [trial.candidate for trial in trials if not trial.curve]:
        raise ValueError(f"trial of candidate {empty[0]} has no epoch; leave it out")
    accuracy = np.array([_late(trial.curve) for trial in trials], np.float64)
    variance = LabelNoise(images, seed_deviation=0.0).variance(accuracy)
    entropy = np.array([_late(trial.metrics.cross_entropy) for trial in trials], np.float64)
    known = np.isfinite(entropy) & (entropy > 0)
    if known.sum() >= MIN_TRIALS:
        accuracy[known], variance[known] = _drawn_together(
            accuracy[known], np.log(entropy[known]), float(variance[known].mean())
        )
    return tuple(
        Standing(*found) for found in zip(accuracy.tolist(), np.sqrt(variance).tolist(), strict=True)
    )


def _late(values: Sequence[float | None]) -> float:
    """Return the mean over the last epochs; not a number where one of them is unknown."""
    last = values[-max(1, round(LAST_SHARE * len(values))) :]
    return float(np.mean([np.nan if value is None else value for value in last])) if last else float("nan")


def _drawn_together(accuracy: Floats, entropy: Floats, noise: float) -> tuple[Floats, Floats]:
    """Return estimates and their variances, from accuracies, logarithms of cross-entropies and the noise variance.

    A regression that would have accuracy rise with the cross-entropy is replaced by the mean.
    """
    centered = entropy - entropy.mean()
    square = float(centered @ centered)
    slope = min(0.0, float(centered @ accuracy) / square) if square > 0 else 0.0
    line = accuracy.mean() + slope * centered
    unexplained = max(0.0, float(((accuracy - line) ** 2).sum()) / (len(accuracy) - 2) - noise)
    if noise == 0:
        return accuracy, np.zeros_like(accuracy)
    weight = unexplained / (unexplained + noise)
    leverage = 1 / len(accuracy) + (centered**2 / square if square > 0 else np.zeros_like(centered))
    # The error where the unexplained variance is known, that of the line, and that of the unexplained variance.
    parts = weight + (1 - weight) * leverage + 2 * (1 - weight) / len(accuracy)
    variance: Floats = noise * np.minimum(1.0, parts)
    return line + weight * (accuracy - line), variance
