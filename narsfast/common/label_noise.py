"""How far an accuracy that a trial measured may be from what its candidate is worth.

Two things disturb it: the validation split is a sample of images, and the seed of the training is one of many. The
constants are this project's measurement: of 96 trainings of one candidate for 12 epochs on clothing photos, the
accuracies on 341 validation and 372 test images (bench/results/ops_accuracy.json). What varied in both at once is the
seed's part, and what varied in each alone is 0.60 times what independent images would give.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

SEED_DEVIATION = 1.33
"""Standard deviation of the accuracy over seeds, points, with any number of images."""

SAMPLING_SHARE = 0.60
"""Variance from the choice of images, as a share of the binomial variance."""


@dataclass(frozen=True)
class LabelNoise:
    """The noise of the labels of one run.

    Attributes:
        images: Number of images in the validation split.
        seed_deviation: Standard deviation over seeds, points.
        sampling_share: Share of the binomial variance that the choice of images has.
    """

    images: int
    seed_deviation: float = SEED_DEVIATION
    sampling_share: float = SAMPLING_SHARE

    def variance(self, accuracy: ArrayLike) -> NDArray[np.float64]:
        """Return the variance of labels, points squared, of the same shape as `accuracy`, which is in percent."""
        share = np.asarray(accuracy, np.float64) / 100
        binomial = 1e4 * share * (1 - share) / self.images
        return np.asarray(self.seed_deviation**2 + self.sampling_share * binomial)


def label_noise(accuracy: ArrayLike, images: int) -> NDArray[np.float64]:
    """Return the noise variance of labels by this project's constants, points squared.

    Args:
        accuracy: Labels in percent, of any shape.
        images: Number of images in the validation split.
    """
    return LabelNoise(images).variance(accuracy)
