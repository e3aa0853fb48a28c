"""What the accuracy head learns: labels standardized robustly, with a compressed lower tail.

How bad a bad candidate is matters little to a search, and where trainings diverge labels are off by orders of
magnitude. All of this is our choice.
"""

from __future__ import annotations

import torch
from torch import Tensor

SMALLEST_SCALE = 1e-6


def compress(standardized: Tensor) -> Tensor:
    """The value t itself down to -1, and -1 - log(-t) below, which is smooth at -1."""
    return torch.where(standardized < -1, -1 - torch.log((-standardized).clamp_min(1)), standardized)


def center_and_scale(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Median of (n,) labels, and half the span of their middle 68 %, which a few trials at chance do not widen.

    The standard deviation where that span is empty, and 1 where all labels are equal.
    """
    if labels.min() == labels.max():  # of which the standard deviation may be some rounding
        return labels.median(), torch.tensor(1.0)
    low, high = torch.quantile(labels, torch.tensor([0.16, 0.84]))
    for spread in ((high - low) / 2, labels.std(correction=0)):
        if spread > SMALLEST_SCALE:
            return labels.median(), spread
    return labels.median(), torch.tensor(1.0)
