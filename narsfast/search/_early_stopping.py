"""The early-stop epoch: how long later batches must be trained to be ranked well (part of Algorithm 1).

The rule, the threshold 0.92 and Kendall's correlation are this project's choice. On noisy curves Spearman's correlation
reaches 0.92 too early to identify the best candidates of a batch (docs/quality.md).

Two labels are both noisy, and so agree less than what they measure. The correlation is corrected for that as Spearman
did (American Journal of Psychology 1904): it is divided by the root of both reliabilities. That holds for Pearson's
correlation, to and from which rank correlations are converted as for normal variables (Kruskal, JASA 1958). The noise of
two epochs of one training counts as independent; that of the last epochs is not quite, so that their corrected
correlations are rather too high.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import kendalltau, spearmanr

from narsfast.common.early_stopping import EarlyStopping, Reason
from narsfast.common.label_noise import LabelNoise
from narsfast.errors import UserError

MIN_CURVES = 6
"""Fewest curves for early stopping; fewer can agree by chance (this project's choice)."""

MIN_RELIABILITY = 0.8
"""Least reliability of labels that decide when to stop; below it, the corrected correlation of one batch reaches any
threshold by chance. In simulations of 8 and of 24 curves, with a true spread of 4 points and noise of 1 to 2.5 points,
labels at the epoch so chosen agreed at most 0.05 (Kendall's tau) less with the truth than labels at the last epoch, as
much as the rule costs without noise; with 0.7 it was up to 0.07 (this project's choice)."""

Correlation = Literal["spearman", "kendall"]
_MEASURES = {"spearman": spearmanr, "kendall": kendalltau}


def early_stop_epoch(curves: ArrayLike, threshold: float = 0.92, correlation: Correlation = "kendall") -> int:
    """Find the first epoch that ranks the trials like the last one, of curves without noise.

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
    return decide_early_stopping(curves, threshold, correlation).epoch


def decide_early_stopping(
    curves: ArrayLike,
    threshold: float = 0.92,
    correlation: Correlation = "kendall",
    noise: LabelNoise | None = None,
) -> EarlyStopping:
    """Find the first epoch that ranks the trials like the last one, and say why it is that one.

    Args:
        curves: As for `early_stop_epoch`; percent where there is noise.
        threshold: As for `early_stop_epoch`; with noise of the corrected correlation.
        correlation: As for `early_stop_epoch`.
        noise: Of the accuracies; None takes them as they are. Where it leaves too little to compare (`MIN_RELIABILITY`)
            at the last epoch, trials are not stopped early; an earlier epoch of which that is true is passed over.

    Raises:
        UserError: As `early_stop_epoch`.
    """
    if not 0 < threshold <= 1:
        raise UserError(f"threshold is {threshold}; it should be above 0 and at most 1")
    if correlation not in _MEASURES:
        raise UserError(f"correlation is {correlation!r}; it should be spearman or kendall")
    array = np.asarray(curves, np.float64)
    count, epochs = array.shape

    def decided(epoch: int, reason: Reason, **why: object) -> EarlyStopping:
        return EarlyStopping(epoch, reason, threshold, correlation, count, **why)  # type: ignore[arg-type]

    if count < MIN_CURVES:
        return decided(epochs, "few_curves")
    if np.ptp(array[:, -1]) == 0:
        return decided(epochs, "equal")
    observed = _with_last(array, correlation)
    trusted = np.ones(epochs) if noise is None else _reliability(array, noise)
    corrected = [
        None if value is None else without_noise(value, math.sqrt(own * trusted[-1]), correlation)
        for value, own in zip(observed, trusted.tolist(), strict=True)
    ]
    why: dict[str, object] = {"observed": tuple(observed), "corrected": tuple(corrected)}
    if noise is not None:
        why |= {
            "reliability": tuple(trusted.tolist()),
            "deviation": float(np.sqrt(noise.variance(array[:, -1]).mean())),
            "spread": float(array[:, -1].std(ddof=1)),
        }
    if trusted[-1] < MIN_RELIABILITY:
        return decided(epochs, "noise", **why)
    for epoch, value in enumerate(corrected[:-1], start=1):
        # A perfect correlation may be slightly below 1 because of rounding.
        if value is not None and value >= threshold - 1e-9 and trusted[epoch - 1] >= MIN_RELIABILITY:
            return decided(epoch, "reached", **why)
    return decided(epochs, "not_reached", **why)


def without_noise(value: float, reliability: float, correlation: Correlation) -> float | None:
    """Return the rank correlation of what two noisy measurements measure.

    Args:
        value: Rank correlation of the measurements.
        reliability: Root of the product of their reliabilities, 0 to 1.
        correlation: Which rank correlation.

    Returns:
        At most 1; `value` itself where there is no noise, None where there is nothing else.
    """
    if reliability == 1:
        return value
    if reliability == 0:
        return None
    if correlation == "kendall":
        return 2 / math.pi * math.asin(_bounded(math.sin(math.pi / 2 * value) / reliability))
    return 6 / math.pi * math.asin(_bounded(2 * math.sin(math.pi / 6 * value) / reliability) / 2)


def _bounded(correlation: float) -> float:
    return max(-1.0, min(1.0, correlation))


def _with_last(curves: NDArray[np.float64], correlation: Correlation) -> list[float | None]:
    """Return the rank correlation of each epoch with the last one; None where all accuracies are equal."""
    return [
        float(_MEASURES[correlation](accuracy, curves[:, -1]).statistic) if np.ptp(accuracy) > 0 else None
        for accuracy in curves.T
    ]


def _reliability(curves: NDArray[np.float64], noise: LabelNoise) -> NDArray[np.float64]:
    """Return the share of the variance at each epoch that is no noise, (E,)."""
    variance = curves.var(axis=0, ddof=1)
    by_chance = noise.variance(curves).mean(axis=0)
    share = (by_chance > 0).astype(np.float64)  # where labels do not vary, all or nothing is noise
    np.divide(by_chance, variance, out=share, where=variance > 0)
    reliability: NDArray[np.float64] = np.maximum(0.0, 1.0 - share)
    return reliability
