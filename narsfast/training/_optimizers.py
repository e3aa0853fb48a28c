"""How each optimizer that a recipe may name is built, by who computes its step.

What else is known of them, and what a recipe may name, is in `narsfast.space` (`OptimizerInfo`): an entry there and one
here make a built-in optimizer, and one call of `register_optimizer` makes one of the user's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.optim import Optimizer

from narsfast.common.options import OptimBackend
from narsfast.errors import UserError
from narsfast.space import OptimizerInfo, Recipe, TimmOptimizer, add_optimizer, optimizer_info

from ._apex import find_apex, require_apex
from ._rmsprop import RmspropBackend, RMSpropTF

Groups = list[dict[str, Any]]
"""Parameter groups as `torch.optim` takes them: ``params`` and ``weight_decay`` of those with and those without."""

Build = Callable[[Groups, float, Recipe], Optimizer]
"""Builds an optimizer of parameter groups at a learning rate for a recipe."""


@dataclass(frozen=True)
class OptimizerEntry:
    """How an optimizer is built.

    Attributes:
        builders: By backend. One that has ``torch`` can be computed under every backend. ``auto`` is for an optimizer
            that chooses by itself.
        whole_tensors: Whether it treats each tensor as a whole, and so needs the tensors of the network and not the
            flat vectors that the trainer joins them to.
    """

    builders: Mapping[OptimBackend, Build]
    whole_tensors: bool = False

    def computed_by(self, backend: OptimBackend) -> OptimBackend | None:
        """Return who computes its step under a resolved backend; None where none can."""
        return next((name for name in (backend, "torch") if name in self.builders), None)


def register_optimizer(
    name: str,
    build: Build,
    *,
    description: str = "",
    reads: Iterable[str] = ("momentum",),
    rate_factor: str | None = None,
    decay_factor: str | None = None,
    epsilon: float | None = None,
    whole_tensors: bool = False,
    timm: str | None = None,
) -> None:
    """Add an optimizer, which recipes of this process may then name.

    Another process knows it only if it registers it too. Where trainings run in other processes, or a run may be
    resumed, write the call into a file and let the recipe name it as ``FILE.py:NAME``, with the file's absolute path:
    each process that reads the recipe runs the file once. Checkpoints hold the optimizer's `state_dict`, so it must
    consist of tensors, numbers and texts.

    Args:
        name: Its value in recipes, letters, digits and underscores.
        build: Called with the parameter groups, the learning rate and the recipe; returns a `torch.optim.Optimizer`.
            The trainer sets ``lr`` of each group before every step.
        description: What it is, in a few words.
        reads: Fields of a recipe that it reads beside the learning rate and the weight decay.
        rate_factor: The field of a recipe that multiplies its learning rate, as `sgd_factor` does for SGD; None takes
            the rate as it is.
        decay_factor: The same for its weight decay.
        epsilon: What keeps it from dividing by 0, for exports.
        whole_tensors: Whether it treats each tensor as a whole, as LAMB does, and so must not be given flat vectors.
        timm: Name of the same optimizer in timm, for exports; None where it has none.

    Raises:
        UserError: The name is a built-in one's or cannot be one, or a field is not a recipe's.
    """
    reads = tuple(reads)
    for field in (*reads, *filter(None, (rate_factor, decay_factor))):
        if field not in Recipe.model_fields:
            raise UserError(
                f"optimizer {name!r} reads {field!r}; it must be a field of a recipe: {', '.join(Recipe.model_fields)}"
            )
    equivalent = None if timm is None else TimmOptimizer(timm)
    add_optimizer(OptimizerInfo(name, description, reads, rate_factor, decay_factor, epsilon, equivalent))
    _entries[name] = OptimizerEntry({"torch": build}, whole_tensors)


def optimizer_entry(name: str) -> OptimizerEntry:
    """Return how the optimizer is built that a recipe names.

    Raises:
        UserError: There is no such optimizer.
    """
    return _entries[optimizer_info(name).name]


def effective_backend(optimizer: str, backend: OptimBackend) -> OptimBackend:
    """Return who computes the step of one optimizer under a backend that `resolve_backend` gave.

    =======  ===========================  ==================  =========  ================
    backend  RMSProp                      SGD, AdamW          LAMB       registered ones
    =======  ===========================  ==================  =========  ================
    native   this project's compiled one  torch, fused        an error   their own
    torch    torch's operators            torch, fused        an error   their own
    apex     torch's operators            apex, fused         apex       their own
    =======  ===========================  ==================  =========  ================

    Raises:
        UserError: There is no such optimizer, or the backend cannot compute it (LAMB without apex).
    """
    found = optimizer_entry(optimizer).computed_by(backend)
    if found is None:
        _, reason = find_apex()
        raise UserError(
            f"optimizer is {optimizer!r}, which only NVIDIA's apex on CUDA computes, and optim_backend is {backend!r}"
            f"{f' ({reason})' if reason else ''}; take 'adamw', or optim_backend 'apex' where apex is"
        )
    return found


def check_optimizers(optimizers: Iterable[str], backend: OptimBackend) -> None:
    """Refuse optimizers that a backend, as `resolve_backend` gives it, does not have.

    Raises:
        UserError: As in `effective_backend`.
    """
    for optimizer in optimizers:
        effective_backend(optimizer, backend)


def _rmsprop(backend: RmspropBackend, groups: Groups, lr: float, recipe: Recipe) -> Optimizer:
    return RMSpropTF(groups, lr=lr, eps=_epsilon("rmsprop"), momentum=recipe.momentum, backend=backend)


def _sgd(groups: Groups, lr: float, recipe: Recipe) -> Optimizer:
    nesterov = recipe.momentum > 0
    return torch.optim.SGD(groups, lr=lr, momentum=recipe.momentum, nesterov=nesterov, **_path(groups))


def _adamw(groups: Groups, lr: float, recipe: Recipe) -> Optimizer:
    betas = (recipe.momentum, recipe.beta2)
    return torch.optim.AdamW(groups, lr=lr, betas=betas, eps=_epsilon("adamw"), **_path(groups))


def _path(groups: Groups) -> dict[str, bool]:
    """Choose torch's fused step for float32 on the CPU and CUDA, else its multi-tensor one."""
    tensors = [tensor for group in groups for tensor in group["params"]]
    fused = all(t.dtype is torch.float32 and t.device.type in ("cpu", "cuda") for t in tensors)
    return {"fused": True} if fused else {"foreach": True}


def _apex_sgd(groups: Groups, lr: float, recipe: Recipe) -> Optimizer:
    built: Optimizer = require_apex("optim_backend", "apex").FusedSGD(
        groups, lr=lr, momentum=recipe.momentum, nesterov=recipe.momentum > 0
    )
    return built


def _apex_adamw(groups: Groups, lr: float, recipe: Recipe) -> Optimizer:
    built: Optimizer = require_apex("optim_backend", "apex").FusedAdam(
        groups, lr=lr, betas=(recipe.momentum, recipe.beta2), eps=_epsilon("adamw"), adam_w_mode=True
    )
    return built


def _apex_lamb(groups: Groups, lr: float, recipe: Recipe) -> Optimizer:
    """Build LAMB without its bound of the gradients' norm, which the others do not have."""
    built: Optimizer = require_apex("optim_backend", "apex").FusedLAMB(
        groups,
        lr=lr,
        betas=(recipe.momentum, recipe.beta2),
        eps=_epsilon("lamb"),
        max_grad_norm=math.inf,
    )
    return built


def _epsilon(name: str) -> float:
    epsilon = optimizer_info(name).epsilon
    assert epsilon is not None
    return epsilon


_entries = {
    "rmsprop": OptimizerEntry(
        {
            "auto": partial(_rmsprop, "auto"),
            "native": partial(_rmsprop, "native"),
            "torch": partial(_rmsprop, "torch"),
        }
    ),
    "sgd": OptimizerEntry({"torch": _sgd, "apex": _apex_sgd}),
    "adamw": OptimizerEntry({"torch": _adamw, "apex": _apex_adamw}),
    "lamb": OptimizerEntry({"apex": _apex_lamb}, whole_tensors=True),
}
