"""The early-stop epoch: how long later batches must be trained to be ranked well (part of Algorithm 1).

The rule, the threshold 0.92 and Kendall's correlation are this project's choice. On noisy curves Spearman's correlation
reaches 0.92 too early to identify the best candidates of a batch (docs/quality.md).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import kendalltau, spearmanr

from narsfast.errors import UserError

MIN_CURVES = 6
"""Fewest curves for early stopping; fewer can agree by chance (this project's choice)."""


def early_stop_epoch(
    curves: ArrayLike, threshold: float = 0.92, correlation: Literal["spearman", "kendall"] = "kendall"
) -> int:
    """Find the first epoch that ranks the trials like the last one.

    Args:
        curves: (m, E), accuracy of m trials after each of E epochs.
        threshold: Rank correlation with the last epoch that an epoch must reach, in (0, 1].
        correlation: The rank correlation.

    Returns:
        The epoch, 1-based; E if no earlier one reaches the threshold, if there are fewer than six curves, or if all
        final accuracies are equal, so that there is no correlation.

    Raises:
        UserError: The threshold is outside (0, 1], or the correlation is unknown.
    """
    measures = {"spearman": spearmanr, "kendall": kendalltau}
    if not 0 < threshold <= 1:
        raise UserError(f"threshold is {threshold}; it should be above 0 and at most 1")
    if correlation not in measures:
        raise UserError(f"correlation is {correlation!r}; it should be spearman or kendall")
    array = np.asarray(curves, np.float64)
    epochs: int = array.shape[1]
    final = array[:, -1]
    if len(array) < MIN_CURVES or np.ptp(final) == 0:
        return epochs
    for epoch in range(1, epochs):
        accuracy = array[:, epoch - 1]
        # A perfect correlation may be slightly below 1 because of rounding.
        if np.ptp(accuracy) > 0 and measures[correlation](accuracy, final).statistic >= threshold - 1e-9:
            return epoch
    return epochs
