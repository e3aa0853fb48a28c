"""The two optimisers of a recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from narsfast.space import Recipe

RMSPROP_ALPHA = 0.9
"""Decay of the mean square (our default)."""

RMSPROP_EPSILON = 1e-3
"""Added to the mean square, inside the root (our default)."""


class RMSpropTF(Optimizer):
    """RMSProp in TensorFlow's form: epsilon inside the root, learning rate inside the momentum.

    The formula is the one that TensorFlow documents for its `RMSPropOptimizer`.

    With gradient g (weight decay added to it) and mean square s, which starts at one::

        s = alpha * s + (1 - alpha) * g**2
        v = momentum * v + lr * g / sqrt(s + eps)
        w = w - v

    torch.optim.RMSprop puts epsilon outside the root, starts s at zero and multiplies by the learning rate
    after the momentum.

    Args:
        params: parameters or parameter groups.
        lr: learning rate.
        alpha: decay of the mean square.
        eps: see above.
        momentum: see above.
        weight_decay: times the weight, added to its gradient.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        *,
        alpha: float = RMSPROP_ALPHA,
        eps: float = RMSPROP_EPSILON,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "alpha": alpha, "eps": eps, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step; parameters without a gradient are left alone."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, weight.grad, group)
        return loss

    def _update(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state["square"] = torch.ones_like(weight)
            state["velocity"] = torch.zeros_like(weight)
        if group["weight_decay"]:
            gradient = gradient.add(weight, alpha=group["weight_decay"])
        square, velocity = state["square"], state["velocity"]
        square.mul_(group["alpha"]).addcmul_(gradient, gradient, value=1 - group["alpha"])
        root = square.add(group["eps"]).sqrt_()
        velocity.mul_(group["momentum"]).addcdiv_(gradient, root, value=group["lr"])
        weight.sub_(velocity)


def build_optimizer(recipe: Recipe, decayed: list[Tensor], plain: list[Tensor]) -> Optimizer:
    """The recipe's optimiser.

    Args:
        recipe: optimiser, learning rate, momentum, weight decay.
        decayed: parameters with weight decay.
        plain: parameters without: norms and biases.
    """
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    rate = peak_rate(recipe)
    if recipe.optimizer == "rmsprop":
        return RMSpropTF(groups, lr=rate, momentum=recipe.momentum)
    return torch.optim.SGD(groups, lr=rate, momentum=recipe.momentum, nesterov=recipe.momentum > 0)


def peak_rate(recipe: Recipe) -> float:
    """Learning rate before warm-up and decay: SGD takes `sgd_factor` times RMSProp's."""
    return recipe.learning_rate * (recipe.sgd_factor if recipe.optimizer == "sgd" else 1.0)
