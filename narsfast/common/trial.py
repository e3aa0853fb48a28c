"""One training of one candidate, and a fit to several, as every package speaks of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Literal

Outcome = Literal["ok", "diverged", "out_of_memory", "timed_out", "failed", "lost"]
"""How a training ended. Only runs of early versions hold a ``lost`` one: what the machine disturbs is trained again."""

_AGAIN = "resume the run with `retry_failed`"
_REMEDIES = {
    "diverged": "begin another run with a space of lower learning rates",
    "out_of_memory": f"{_AGAIN}, or begin another run with a space of smaller networks",
    "timed_out": f"{_AGAIN}, or begin another run with a longer `trial_timeout`",
    "failed": f"mend that and {_AGAIN}",
    "lost": f"{_AGAIN}, with fewer `workers` if it was memory that ran out",
}


@dataclass(frozen=True)
class EpochMetrics:
    """What is measured in each epoch of a training, beside the accuracy that counts.

    Each metric has one value per epoch of the curve, None where it was not measured, or is empty where no epoch has one.

    Attributes:
        training_loss: Mean over the epoch's steps, of images and labels as the recipe mixes, augments and smooths them.
        cross_entropy: Of the validation split in nats per image, without smoothing or weights of classes, of the
            network whose accuracy counts.
        raw_accuracy: Of the validation split in percent, of the weights as the optimizer leaves them.
        ema_accuracy: The same of the averaged weights; empty where the recipe does not average.
    """

    training_loss: tuple[float | None, ...] = ()
    cross_entropy: tuple[float | None, ...] = ()
    raw_accuracy: tuple[float | None, ...] = ()
    ema_accuracy: tuple[float | None, ...] = ()

    def check(self, epochs: int) -> None:
        """Refuse metrics of another number of epochs than the curve has.

        Raises:
            ValueError: One is neither empty nor as long as the curve.
        """
        for metric in fields(self):
            if (length := len(getattr(self, metric.name))) not in (0, epochs):
                raise ValueError(
                    f"{metric.name} has {length} epochs and the curve {epochs}; give one value per epoch, or none at all"
                )


@dataclass(frozen=True)
class Trial:
    """One training of one candidate.

    Attributes:
        candidate: Id of the candidate (`narsfast.space.Space.ids`).
        curve: Validation accuracy in percent after each epoch trained, up to where the training ended.
        outcome: ``ok``, or why the curve is shorter than asked for.
        epochs: Number of epochs asked for.
        seconds: wall-clock seconds of the training.
        message: One line on an outcome other than ``ok``, else empty.
        metrics: What else was measured in each epoch; empty where a trainer gives the curve alone, and in runs of
            versions that kept nothing else.

    Raises:
        ValueError: The metrics are of another number of epochs than the curve.
    """

    candidate: str
    curve: tuple[float, ...]
    outcome: Outcome
    epochs: int
    seconds: float
    message: str = ""
    metrics: EpochMetrics = field(default_factory=EpochMetrics)

    def __post_init__(self) -> None:
        self.metrics.check(len(self.curve))

    def label(self, epoch: int, chance: float) -> float:
        """Return what the predictor learns: accuracy in percent at `epoch` (1-based).

        A training that did not end well, or earlier, is worth a constant guess (`chance`), and is never dropped.
        """
        return self.curve[epoch - 1] if self.outcome == "ok" and len(self.curve) >= epoch else chance

    def until(self, epochs: int) -> Trial:
        """Return what was known of a trial that ended well after so many epochs."""
        cut = {metric.name: getattr(self.metrics, metric.name)[:epochs] for metric in fields(self.metrics)}
        return replace(self, curve=self.curve[:epochs], metrics=EpochMetrics(**cut))

    def ending(self) -> str:
        """Say how a training ended that did not end well, and what to do about it."""
        said = f" ({self.message})" if self.message else ""
        return f"{self.outcome.replace('_', ' ')}{said}: {_REMEDIES[self.outcome]}"


@dataclass(frozen=True)
class Fit:
    """One fit of the predictor to the labels of trials.

    Attributes:
        trials: Number of labels.
        taus: cross-validated Kendall tau of the predictor and its rivals (`narsfast.predictor.compare_regressors`).
    """

    trials: int
    taus: Mapping[str, float | None]
