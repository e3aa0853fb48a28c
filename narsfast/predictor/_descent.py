"""The training loop that pretraining and fitting share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ._network import Layer

WARM_UP = 0.05
"""Share of the steps over which the rate rises: large first steps leave members whose units are all dead."""


@dataclass(frozen=True)
class Schedule:
    """How one phase is trained; all of it is this project's choice.

    Attributes:
        steps: optimizer steps (AdamW, the rate warmed up, then falling to 0 as a half cosine).
        batch: samples of a step, at most.
        rate: learning rate at the start.
        weight_decay: decoupled, times the rate.
        average: the weights kept are the mean over this last share of the steps.
    """

    steps: int
    batch: int
    rate: float
    weight_decay: float
    average: float


def batch_order(rows: Sequence[Tensor], schedule: Schedule, generator: torch.Generator) -> Tensor:
    """Rows of every step: (steps, M, batch) int64.

    Args:
        rows: for each member the rows that it learns from, (n_m,) int64, none empty. Each member goes through
            permutations of its own, one after the other.
        schedule: gives the number of steps and the largest batch.
        generator: of the permutations.
    """
    batch = min(schedule.batch, *(len(mine) for mine in rows))
    needed = schedule.steps * batch
    orders = []
    for mine in rows:
        rounds = [torch.randperm(len(mine), generator=generator) for _ in range(-(-needed // len(mine)))]
        orders.append(mine[torch.cat(rounds)[:needed]].reshape(schedule.steps, batch))
    return torch.stack(orders, dim=1)


def minimize(
    layers: Sequence[Layer],
    loss: Callable[[int], Tensor],
    schedule: Schedule,
    report: Callable[[int], None] | None = None,
) -> None:
    """Train `layers` in place and leave the averaged weights in them.

    Args:
        layers: what is trained.
        loss: scalar loss of a step (from 0), of which each member's part depends on that member only.
        schedule: how long and how fast.
        report: called with the number of steps done.
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
    for tensor, kept in zip(tensors, mean, strict=True):
        tensor.requires_grad_(False).copy_(kept)
        tensor.grad = None
