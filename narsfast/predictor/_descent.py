"""The training loop that pretraining and fitting share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ._network import Layer

WARM_UP = 0.05
"""Share of the steps over which the rate rises; with large first steps all units of a layer can die."""


@dataclass(frozen=True)
class Schedule:
    """The training schedule of one phase; all values are this project's choice.

    Attributes:
        steps: Optimizer steps (AdamW, with warm-up and then a half cosine to 0).
        batch: Largest number of samples per step.
        rate: Learning rate after warm-up.
        weight_decay: Decoupled weight decay, multiplied by the rate.
        average: The final weights are the mean over this last share of the steps.
    """

    steps: int
    batch: int
    rate: float
    weight_decay: float
    average: float


def batch_order(rows: Sequence[Tensor], schedule: Schedule, generator: torch.Generator) -> Tensor:
    """Draw the rows of every step, (steps, M, batch) int64.

    Args:
        rows: The rows that each ensemble member learns from, (n_m,) int64, none empty. Each member goes through
            permutations of its own.
        schedule: The number of steps and the largest batch.
        generator: Generator of the permutations.
    """
    batch = min(schedule.batch, *(len(own) for own in rows))
    needed = schedule.steps * batch
    orders = []
    for own in rows:
        passes = [torch.randperm(len(own), generator=generator) for _ in range(-(-needed // len(own)))]
        orders.append(own[torch.cat(passes)[:needed]].reshape(schedule.steps, batch))
    return torch.stack(orders, dim=1)


def minimize(
    layers: Sequence[Layer],
    loss: Callable[[int], Tensor],
    schedule: Schedule,
    report: Callable[[int], None] | None = None,
) -> None:
    """Train `layers` in place and leave the averaged weights in them.

    Args:
        layers: The layers to train.
        loss: Scalar loss by the number of the step, from 0: a sum of terms that depend on one ensemble member each.
        schedule: The schedule.
        report: Called after every step with the number of steps done.
    """
    tensors = [tensor.requires_grad_(True) for layer in layers for tensor in layer]
    optimizer = torch.optim.AdamW(tensors, lr=schedule.rate, weight_decay=schedule.weight_decay, fused=True)
    mean = [torch.zeros_like(tensor) for tensor in tensors]
    averaged = 0
    for step in range(schedule.steps):
        warm = min(1.0, (step + 1) / (WARM_UP * schedule.steps))
        factor = warm * 0.5 * (1 + math.cos(math.pi * step / schedule.steps))
        optimizer.param_groups[0]["lr"] = schedule.rate * factor
        optimizer.zero_grad()
        loss(step).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step >= int(schedule.steps * (1 - schedule.average)):
            averaged += 1
            torch._foreach_lerp_(mean, [tensor.detach() for tensor in tensors], 1 / averaged)
        if report is not None:
            report(step + 1)
    for tensor, average in zip(tensors, mean, strict=True):
        tensor.requires_grad_(False).copy_(average)
        tensor.grad = None
