"""The two optimisers of a recipe."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from narsfast.space import Recipe

from ._rmsprop import OptimBackend, RMSpropTF
from ._weights import MovingAverage


def build_optimizer(
    recipe: Recipe,
    decayed: list[Tensor],
    plain: list[Tensor],
    *,
    average: MovingAverage | None = None,
    backend: OptimBackend = "auto",
) -> Optimizer:
    """The recipe's optimiser.

    Args:
        recipe: optimiser, learning rate, momentum, weight decay.
        decayed: parameters with weight decay.
        plain: parameters without: norms and biases.
        average: takes in the new weights at the end of each step of the optimiser.
        backend: of RMSProp, as in `RMSpropTF`; SGD is torch's.
    """
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    rate = peak_rate(recipe)
    if recipe.optimizer == "rmsprop":
        return RMSpropTF(groups, lr=rate, momentum=recipe.momentum, average=average, backend=backend)
    sgd = torch.optim.SGD(groups, lr=rate, momentum=recipe.momentum, nesterov=recipe.momentum > 0)
    if average is not None:
        sgd.register_step_post_hook(lambda *_: average.update())
    return sgd


def peak_rate(recipe: Recipe) -> float:
    """Learning rate before warm-up and decay: SGD takes `sgd_factor` times RMSProp's."""
    return recipe.learning_rate * (recipe.sgd_factor if recipe.optimizer == "sgd" else 1.0)
