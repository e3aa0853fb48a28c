"""The early-stop epoch: how long later batches need to train to be ranked well (part of Algorithm 1).

The rule, the threshold 0.92 and Kendall's correlation are our choice: on noisy curves Spearman's passes 0.92 so early
that the best of a batch is no longer known (docs/quality.md).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import kendalltau, spearmanr

from narsfast.errors import UserError

FEWEST_CURVES = 6
"""Fewer curves agree by chance long before they are ranked rightly: the last epoch is taken (this project's choice)."""


def early_stop_epoch(
    curves: ArrayLike, threshold: float = 0.92, correlation: Literal["spearman", "kendall"] = "kendall"
) -> int:
    """Find the first epoch that ranks the trials as the last one does.

    Args:
        curves: (m, E) accuracy of m trials after each of E epochs.
        threshold: rank correlation with the last epoch that an epoch must reach, in (0, 1].
        correlation: which rank correlation.

    Returns:
        The epoch, 1-based; E if no earlier one reaches the threshold, if there are fewer than six curves, or if all
        trials end equal, so that there is no correlation.

    Raises:
        UserError: the threshold is outside (0, 1], or the correlation is unknown.
    """
    measures = {"spearman": spearmanr, "kendall": kendalltau}
    if not 0 < threshold <= 1:
        raise UserError(f"threshold is {threshold}; it should be above 0 and at most 1")
    if correlation not in measures:
        raise UserError(f"correlation is {correlation!r}; it should be spearman or kendall")
    array = np.asarray(curves, np.float64)
    epochs: int = array.shape[1]
    final = array[:, -1]
    if len(array) < FEWEST_CURVES or np.ptp(final) == 0:
        return epochs
    for epoch in range(1, epochs):
        accuracy = array[:, epoch - 1]
        # Rounding may leave a perfect correlation a hair below 1.
        if np.ptp(accuracy) > 0 and measures[correlation](accuracy, final).statistic >= threshold - 1e-9:
            return epoch
    return epochs
