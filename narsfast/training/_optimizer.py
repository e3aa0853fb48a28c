"""The optimizer of one training, and the moving average that goes with its steps."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from narsfast.common.options import OptimBackend
from narsfast.space import Recipe

from ._backend import resolve_backend
from ._optimizers import Groups, effective_backend, optimizer_entry
from ._rmsprop import RMSpropTF
from ._weights import MovingAverage


def build_optimizer(
    recipe: Recipe,
    decayed: list[Tensor],
    plain: list[Tensor],
    *,
    average: MovingAverage | None = None,
    backend: OptimBackend = "auto",
) -> Optimizer:
    """Build the recipe's optimizer.

    Args:
        recipe: Optimizer, learning rate, momentum, weight decay.
        decayed: Parameters with weight decay.
        plain: Parameters without: norms and biases.
        average: Takes in the new weights at the end of each step of the optimizer.
        backend: See `resolve_backend`.

    Raises:
        UserError: The backend cannot be used here, or does not have such an optimizer.
    """
    resolved = resolve_backend(backend, device_type([*decayed, *plain]))
    step = effective_backend(recipe.optimizer, resolved)
    builders = optimizer_entry(recipe.optimizer).builders
    groups: Groups = [
        {"params": decayed, "weight_decay": recipe.effective_weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    optimizer = builders.get(backend, builders[step])(groups, recipe.peak_rate, recipe)
    if average is not None:
        _average_after_steps(optimizer, average)
    return optimizer


def _average_after_steps(optimizer: Optimizer, average: MovingAverage) -> None:
    if isinstance(optimizer, RMSpropTF):
        optimizer.average = average  # in the pass that steps
        return

    def update(stepped: Optimizer, *_: Any) -> None:
        # torch's fused steps leave out gradients that are not finite by themselves, and are called nevertheless
        if not bool(getattr(stepped, "found_inf", False)):
            average.update()

    optimizer.register_step_post_hook(update)


def device_type(tensors: list[Tensor]) -> str:
    """Return the type of the device that the first tensor is on, ``cpu`` where there is none."""
    return tensors[0].device.type if tensors else "cpu"
