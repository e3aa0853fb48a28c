"""The optimizer of one training, and the moving average that goes with its steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from narsfast.common.options import OptimBackend
from narsfast.errors import UserError
from narsfast.space import Recipe

from ._backend import resolve_backend
from ._optimizers import Groups, effective_backend, optimizer_entry
from ._rmsprop import RMSpropTF
from ._weights import MovingAverage, Part


def build_optimizer(
    recipe: Recipe,
    decayed: list[Tensor],
    plain: list[Tensor],
    *,
    parts: Mapping[Tensor, Part] | None = None,
    average: MovingAverage | None = None,
    backend: OptimBackend = "auto",
) -> Optimizer:
    """Build the recipe's optimizer.

    Args:
        recipe: Optimizer, learning rate, momentum, weight decay.
        decayed: Parameters with weight decay.
        plain: Parameters without: norms and biases.
        parts: Part of each parameter, which form groups of their own; None is one part.
        average: Takes in the new weights at the end of each step of the optimizer.
        backend: See `resolve_backend`.

    Raises:
        UserError: The backend cannot be used here, or does not have such an optimizer.
    """
    resolved = resolve_backend(backend, device_type([*decayed, *plain]))
    step = effective_backend(recipe.optimizer, resolved)
    builders = optimizer_entry(recipe.optimizer).builders
    groups: Groups = [
        {"params": alike, "weight_decay": decay}
        for tensors, decay in ((decayed, recipe.effective_weight_decay), (plain, 0.0))
        for alike in _by_part(tensors, parts or {})
    ]
    optimizer = builders.get(backend, builders[step])(groups, recipe.peak_rate, recipe)
    if average is not None:
        _average_after_steps(optimizer, average)
    return optimizer


def group_rates(optimizer: Optimizer, parts: Mapping[Tensor, Part], name: str) -> list[float]:
    """Return the learning rate of each group of an optimizer, as a multiple of the recipe's.

    Args:
        optimizer: As `build_optimizer` returned it.
        parts: Part of each parameter.
        name: Of the optimizer, for the message.

    Raises:
        UserError: It was registered by a user, and has joined groups of different rates.
    """
    rates: list[float] = []
    for group in optimizer.param_groups:
        own = {parts.get(tensor, Part()).rate for tensor in group["params"]} or {1.0}
        if len(own) > 1:
            raise UserError(
                f"optimizer {name!r} joins parameters of different learning rates in a group; it must keep the groups "
                "that it is given, or the recipe have a layer_decay and a head_factor of 1"
            )
        rates += own
    return rates


def _by_part(tensors: list[Tensor], parts: Mapping[Tensor, Part]) -> list[list[Tensor]]:
    """Group tensors by their part; without tensors there is one empty group.

    Frozen ones need groups of their own also at the same rate: torch's fused SGD starts the momentum of a whole group at
    once.
    """
    groups: dict[Part, list[Tensor]] = {} if tensors else {Part(): []}
    for tensor in tensors:
        groups.setdefault(parts.get(tensor, Part()), []).append(tensor)
    return list(groups.values())


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
