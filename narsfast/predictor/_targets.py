"""Targets of the accuracy head: robustly standardized labels with a compressed lower tail.

Differences between bad candidates matter little to a search, and labels of diverged trainings are far below the others.
All of this is this project's choice.
"""

from __future__ import annotations

import torch
from torch import Tensor

MIN_SCALE = 1e-6


def compress(standardized: Tensor) -> Tensor:
    """Return values t from -1 on unchanged and -1 - log(-t) for those below; the function is smooth at -1."""
    return torch.where(standardized < -1, -1 - torch.log((-standardized).clamp_min(1)), standardized)


def center_and_scale(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the median of labels (n,) and half the span of their middle 68 %, which is robust to trials at chance.

    If that span is empty, the standard deviation takes its place, and 1 if all labels are equal.
    """
    if labels.min() == labels.max():  # the standard deviation may differ from 0 by rounding
        return labels.median(), torch.tensor(1.0)
    low, high = torch.quantile(labels, torch.tensor([0.16, 0.84]))
    for spread in ((high - low) / 2, labels.std(correction=0)):
        if spread > MIN_SCALE:
            return labels.median(), spread
    return labels.median(), torch.tensor(1.0)
