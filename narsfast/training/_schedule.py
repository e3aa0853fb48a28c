"""The learning rate over a training."""

from __future__ import annotations

import math

from narsfast.space import Recipe


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int, schedule_epochs: int) -> float:
    """Return the learning rate of a step: linear warm-up times decay.

    With t the share of the schedule that is over and f = `lr_final`, the decay is

    - ``exponential``: ``f ** t``;
    - ``cosine``: ``f + (1 - f) * (1 + cos(pi * t)) / 2`` (Loshchilov and Hutter, ICLR 2017, without restarts);
    - ``step``: 1, then ``sqrt(f)`` after a third of the schedule, then f after two thirds (with f = 0.01 the
      division by 10 at epochs 30 and 60 of 90 that He et al. 2016 trained residual networks with).

    The decay starts with the warm-up. Both follow the steps, or with `schedule_by` ``epoch`` change once, at the
    beginning of each epoch. A training that is stopped early keeps the long schedule: it is a prefix of the full
    training.

    Args:
        recipe: Learning rate, warm-up and decay.
        step: Counted from 0 over the whole training.
        steps_per_epoch: Steps of one epoch.
        schedule_epochs: Epochs after which the decay reaches `lr_final`.
    """
    if recipe.schedule_by == "epoch":
        step, steps_per_epoch = step // steps_per_epoch, 1
    warmup = recipe.warmup_epochs * steps_per_epoch
    warmed = min(1.0, (step + 1) / warmup) if warmup > 0 else 1.0
    return recipe.peak_rate * _decay(recipe, step / steps_per_epoch / schedule_epochs) * warmed


def _decay(recipe: Recipe, over: float) -> float:
    """Return the share of the peak that is left after the share `over` of the schedule."""
    final = recipe.lr_final
    if recipe.schedule == "cosine":
        return final + (1.0 - final) * (1.0 + math.cos(math.pi * over)) / 2
    if recipe.schedule == "step":
        thirds = math.floor(3 * over + 1e-9)  # a third of the steps may come out as 0.33333
        return float(final ** (min(2, thirds) / 2))
    return float(final**over)
