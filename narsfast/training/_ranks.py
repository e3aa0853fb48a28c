"""Several processes that share one training.

Each process (rank) reads its part of every batch and has the whole network. What makes them equal to one process with
the whole batch: batch statistics are those of all parts (`narsfast.ops.share_norms`), and gradients are summed before
every step. All gradients of a network lie in two flat vectors (`FlatWeights`), so that is one all-reduce of each after
the backward pass. torch's DistributedDataParallel would copy them into buckets of its own, in exchange for sending the
first bucket while the backward pass goes on; the networks here have few weights, and their communication is mostly that
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
class Ranks:
    """This process among those that share the training.

    Attributes:
        rank: counted from 0.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def here(cls) -> Ranks:
        """Those of torch.distributed's default group where it is initialized, else this process alone."""
        if distributed.is_available() and distributed.is_initialized():
            return cls(distributed.get_rank(), distributed.get_world_size())
        return cls()

    @property
    def share(self) -> tuple[int, int]:
        """Rank and size."""
        return self.rank, self.size

    def sum_(self, *tensors: Tensor | None) -> None:
        """Makes each tensor the sum over the processes; None is passed over."""
        if self.size > 1:
            for tensor in tensors:
                if tensor is not None:
                    distributed.all_reduce(tensor)

    def take_first_(self, *tensors: Tensor) -> None:
        """Makes each tensor what it is in the first process."""
        if self.size > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, 0)

    def gather(self, value: Any) -> list[Any]:
        """What each process has, in the order of the ranks."""
        if self.size == 1:
            return [value]
        values = [None] * self.size
        distributed.all_gather_object(values, value)
        return values


@contextmanager
def process_group(device: Device = "auto") -> Iterator[Ranks]:
    """Inside, the processes that torchrun started share their trainings: NCCL on GPUs, gloo on CPUs.

    Args:
        device: as in `TrainerSettings`.
    """
    place = training_device(device)
    if place.type == "cuda":
        torch.cuda.set_device(place)
    distributed.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        yield Ranks.here()
    finally:
        distributed.destroy_process_group()
