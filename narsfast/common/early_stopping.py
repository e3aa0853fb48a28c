"""What the early-stop rule decided about a run, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Reason = Literal["reached", "not_reached", "noise", "few_curves", "equal", "halving"]
"""Why the trainings end where they do.

``reached``: an epoch ranks the first batch like the last one. ``not_reached``: none does. ``noise``: the labels are too
noisy to tell. ``few_curves``: too few trainings reached the last epoch. ``equal``: all ended at the same accuracy.
``halving``: batches are halved while they train instead.
"""

_NAMES = {"kendall": "Kendall's tau", "spearman": "Spearman's correlation"}


@dataclass(frozen=True)
class EarlyStopping:
    """What the early-stop rule decided about a run, and why.

    Attributes:
        epoch: The early-stop epoch, 1-based.
        reason: Why it is that one.
        threshold: Correlation that an epoch must reach.
        correlation: ``kendall`` or ``spearman``.
        curves: Number of complete curves of the first batch.
        observed: Rank correlation of each epoch with the last one, as measured; None where it is undefined.
        corrected: The same without the noise of the labels; the observed one in runs whose rule knows no noise.
        reliability: Share of the variance of the labels at each epoch that is no noise; empty where the rule knows none.
        deviation: Of the noise of a label at the last epoch, points; None where the rule knows none.
        spread: Standard deviation of the labels at the last epoch, points; None where the rule knows no noise.
    """

    epoch: int
    reason: Reason
    threshold: float
    correlation: Literal["spearman", "kendall"]
    curves: int
    observed: tuple[float | None, ...] = ()
    corrected: tuple[float | None, ...] = ()
    reliability: tuple[float, ...] = ()
    deviation: float | None = None
    spread: float | None = None

    def sentence(self) -> str:
        """Say what was decided and why."""
        if self.reason == "reached":
            at = self.epoch - 1
            return (
                f"Trainings after the first batch end at epoch {self.epoch}: it ranks the first batch like the last "
                f"epoch, with {self._value(at)} (threshold {self.threshold:g})."
            )
        return f"Trainings are not stopped early: {self._obstacle()}."

    def _obstacle(self) -> str:
        if self.reason == "few_curves":
            return f"{self.curves} trainings of the first batch reached the last epoch, too few to compare rankings"
        if self.reason == "equal":
            return "all trainings of the first batch ended at the same accuracy"
        if self.reason == "halving":
            return "each batch is halved while it trains instead"
        if self.reason == "noise":
            return (
                f"labels vary by {self.spread:.1f} points between candidates and by {self.deviation:.1f} points by "
                f"chance, so that their ranking cannot tell when to stop (reliability {self.reliability[-1]:.2f})"
            )
        known = [(value, at) for at, value in enumerate(self.corrected[:-1]) if value is not None]
        if not known:
            return "there is no earlier epoch that ranks the first batch"
        _, at = max(known)
        return (
            "no earlier epoch ranks the first batch like the last one; "
            f"epoch {at + 1} comes closest, with {self._value(at)} (threshold {self.threshold:g})"
        )

    def _value(self, at: int) -> str:
        observed, corrected = self.observed[at], self.corrected[at]
        text = f"{_NAMES[self.correlation]} {observed:.2f}"
        return text if corrected == observed else f"{text}, {corrected:.2f} without the noise of the labels"
