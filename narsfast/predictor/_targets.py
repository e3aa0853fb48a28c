"""Targets of the accuracy head: robustly standardized labels with a compressed lower tail.

Differences between bad candidates matter little to a search, and labels of diverged trainings are far below the others.
All of this is this project's choice.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MIN_SCALE = 1e-6
MAX_EXPONENT = 50.0
"""Largest exponent of the lower tail, so that what is expanded is finite."""


def compress(standardized: Tensor) -> Tensor:
    """Return values t from -1 on unchanged and -1 - log(-t) for those below; the function is smooth at -1."""
    return torch.where(standardized < -1, -1 - torch.log((-standardized).clamp_min(1)), standardized)


def expand(compressed: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the values that `compress` maps to these, and the derivatives by these."""
    slope = np.exp(np.clip(-1 - compressed, 0, MAX_EXPONENT))
    return np.where(compressed < -1, -slope, compressed), slope


def center_and_scale(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the median of labels (n,) and half the span of their middle 68 %, which is robust to trials at chance.

    If that span is empty, the standard deviation takes its place, and 1 if all labels are equal.
    """
    if labels.min() == labels.max():  # the standard deviation may differ from 0 by rounding
        return labels.median(), torch.tensor(1.0)
    low, high = torch.quantile(labels, torch.tensor([0.16, 0.84], dtype=labels.dtype))
    for spread in ((high - low) / 2, labels.std(correction=0)):
        if spread > MIN_SCALE:
            return labels.median(), spread
    return labels.median(), torch.tensor(1.0)


def upper_center_and_scale(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return center and scale as `center_and_scale`, the scale at most twice the span from median to 84th percentile.

    Labels of trials that did not end well are far below the others. Where they are more than the lowest 16 %, they
    would widen the scale so that all others look alike; the upper half does not have them.
    """
    center, scale = center_and_scale(labels)
    upper = 2 * (torch.quantile(labels, 0.84) - center)
    return center, torch.minimum(scale, upper) if upper > MIN_SCALE else scale
