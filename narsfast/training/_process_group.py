"""Several processes that share one training.

Each process (rank) reads its part of every batch and has the whole network. Two things make them equal to one process
with the whole batch: batch statistics are those of all parts (`narsfast.ops.share_norms`), and gradients are summed
before every step. All gradients of a network lie in two flat vectors (`FlatWeights`), so that is one all-reduce of each
after the backward pass. torch's DistributedDataParallel would copy them into buckets of its own, in exchange for sending
the first bucket during the backward pass; the networks here have few weights, and most of their communication is that
of the batch statistics.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed

from narsfast.common.options import Device

from ._device import training_device


@dataclass(frozen=True)
class ProcessGroup:
    """The processes that share a training, seen from one of them; the default is one process alone.

    Attributes:
        rank: Number of this process, from 0.
        size: Number of processes.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> ProcessGroup:
        """Return torch.distributed's default group where it is initialized, else this process alone."""
        if distributed.is_available() and distributed.is_initialized():
            return cls(distributed.get_rank(), distributed.get_world_size())
        return cls()

    @property
    def share(self) -> tuple[int, int]:
        """Rank and size."""
        return self.rank, self.size

    def sum_(self, *tensors: Tensor | None) -> None:
        """Replace each tensor by its sum over the processes; None is passed over."""
        if self.size > 1:
            for tensor in tensors:
                if tensor is not None:
                    distributed.all_reduce(tensor)

    def broadcast_(self, *tensors: Tensor) -> None:
        """Replace each tensor by that of the first process."""
        if self.size > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, 0)

    def gather(self, value: Any) -> list[Any]:
        """Return the value of each process, in the order of the ranks."""
        if self.size == 1:
            return [value]
        values = [None] * self.size
        distributed.all_gather_object(values, value)
        return values


@contextmanager
def process_group(device: Device = "auto") -> Iterator[ProcessGroup]:
    """Let the processes that torchrun started share the trainings of the block: NCCL on GPUs, gloo on CPUs.

    Args:
        device: As in `TrainerSettings`.
    """
    place = training_device(device)
    if place.type == "cuda":
        torch.cuda.set_device(place)
    distributed.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        yield ProcessGroup.current()
    finally:
        distributed.destroy_process_group()
