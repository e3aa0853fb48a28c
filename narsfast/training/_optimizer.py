"""The optimizers of a recipe."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from narsfast.common.options import OptimBackend
from narsfast.space import Recipe

from ._apex import require_apex
from ._backend import check_optimizers, computed_by, resolve_backend
from ._rmsprop import RMSpropTF
from ._weights import MovingAverage

ADAMW_EPSILON = 1e-8
"""Added to the root of AdamW's mean square (the usual value)."""

LAMB_EPSILON = 1e-6
"""The same of LAMB (apex's default)."""

LAYERWISE = ("lamb",)
"""Optimizers that treat each tensor as a whole: they need the tensors of the network, not flat vectors."""


def build_optimizer(
    recipe: Recipe,
    decayed: list[Tensor],
    plain: list[Tensor],
    *,
    average: MovingAverage | None = None,
    backend: OptimBackend = "auto",
) -> Optimizer:
    """The recipe's optimizer.

    Args:
        recipe: optimizer, learning rate, momentum, weight decay.
        decayed: parameters with weight decay.
        plain: parameters without: norms and biases.
        average: takes in the new weights at the end of each step of the optimizer.
        backend: see `resolve_backend`.

    Raises:
        UserError: the backend cannot be used here, or has no such optimizer.
    """
    resolved = resolve_backend(backend, device_type([*decayed, *plain]))
    check_optimizers([recipe.optimizer], resolved)
    decay = recipe.weight_decay * (
        recipe.adamw_decay_factor if recipe.optimizer in ("adamw", "lamb") else 1.0
    )
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    if recipe.optimizer == "rmsprop":
        return RMSpropTF(
            groups,
            lr=peak_rate(recipe),
            momentum=recipe.momentum,
            average=average,
            backend="torch" if backend == "apex" else backend,
        )
    step = computed_by(recipe.optimizer, resolved)
    optimizer = _apex(recipe, groups) if step == "apex" else _torch(recipe, groups)
    if average is not None:

        def update(stepped: Optimizer, *_: Any) -> None:
            # torch's fused steps leave out gradients that are not finite by themselves, and are called nevertheless
            if not bool(getattr(stepped, "found_inf", False)):
                average.update()

        optimizer.register_step_post_hook(update)
    return optimizer


def _torch(recipe: Recipe, groups: list[dict[str, Any]]) -> Optimizer:
    """Torch's SGD or AdamW: its fused step for float32 on the CPU and CUDA, else its multi-tensor one."""
    tensors = [tensor for group in groups for tensor in group["params"]]
    fused = all(t.dtype is torch.float32 and t.device.type in ("cpu", "cuda") for t in tensors)
    path = {"fused": True} if fused else {"foreach": True}
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            groups, lr=peak_rate(recipe), momentum=recipe.momentum, nesterov=recipe.momentum > 0, **path
        )
    betas = (recipe.momentum, recipe.beta2)
    return torch.optim.AdamW(groups, lr=peak_rate(recipe), betas=betas, eps=ADAMW_EPSILON, **path)


def _apex(recipe: Recipe, groups: list[dict[str, Any]]) -> Optimizer:
    """Apex's SGD, AdamW or LAMB, LAMB without its bound of the gradients' norm, which the others have not."""
    apex = require_apex("optim_backend", "apex")
    rate, betas = peak_rate(recipe), (recipe.momentum, recipe.beta2)
    built: Optimizer
    if recipe.optimizer == "sgd":
        built = apex.FusedSGD(groups, lr=rate, momentum=recipe.momentum, nesterov=recipe.momentum > 0)
    elif recipe.optimizer == "adamw":
        built = apex.FusedAdam(groups, lr=rate, betas=betas, eps=ADAMW_EPSILON, adam_w_mode=True)
    else:
        built = apex.FusedLAMB(groups, lr=rate, betas=betas, eps=LAMB_EPSILON, max_grad_norm=math.inf)
    return built


def device_type(tensors: list[Tensor]) -> str:
    """Type of the device that the first tensor is on, ``cpu`` where there is none."""
    return tensors[0].device.type if tensors else "cpu"


def peak_rate(recipe: Recipe) -> float:
    """Learning rate before warm-up and decay: RMSProp's times the factor of the optimizer."""
    factors = {"sgd": recipe.sgd_factor, "adamw": recipe.adamw_factor, "lamb": recipe.adamw_factor}
    return recipe.learning_rate * factors.get(recipe.optimizer, 1.0)
