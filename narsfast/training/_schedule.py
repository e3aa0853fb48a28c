"""The learning rate over a training."""

from __future__ import annotations

from narsfast.space import Recipe

from ._optimizer import peak_rate


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int, schedule_epochs: int) -> float:
    """Linear warm-up times exponential decay.

    The decay is ``lr_final ** (1 / schedule_epochs)`` an epoch, spread evenly over its steps and already
    going on during warm-up. A training that is stopped early keeps the long schedule: it is a prefix of the
    full training.

    Args:
        recipe: learning rate, warm-up and decay.
        step: counted from 0 over the whole training.
        steps_per_epoch: steps of one epoch.
        schedule_epochs: epochs after which the decay reaches `lr_final`.
    """
    epoch = step / steps_per_epoch
    decay: float = recipe.lr_final ** (epoch / schedule_epochs)
    warmup = recipe.warmup_epochs * steps_per_epoch
    return peak_rate(recipe) * decay * (min(1.0, (step + 1) / warmup) if warmup > 0 else 1.0)
