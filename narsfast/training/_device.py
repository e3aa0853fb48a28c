"""Where a training is computed, and how batches get there."""

from __future__ import annotations

import os
from typing import Literal

import torch
from torch import Tensor

from narsfast.common.options import Device
from narsfast.errors import UserError


def resolve_device(name: Device) -> Literal["cpu", "cuda"]:
    """Return the device that a name stands for on this machine.

    Raises:
        UserError: It is ``cuda``, and there is none.
    """
    found = torch.cuda.is_available()
    if name == "cuda" and not found:
        raise UserError("device is 'cuda'; torch finds no CUDA device here, take 'cpu' or 'auto'")
    return "cuda" if found and name != "cpu" else "cpu"


def training_device(name: Device) -> torch.device:
    """Return the device of this process: under torchrun the GPU of its local rank, else the first one.

    Raises:
        UserError: As in `resolve_device`, or there are fewer GPUs than processes on this machine.
    """
    if resolve_device(name) == "cpu":
        return torch.device("cpu")
    number, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if number >= count:
        raise UserError(
            f"device is {name!r}; process {number + 1} on this machine needs a GPU of its own and there are {count}, "
            "start fewer processes"
        )
    return torch.device("cuda", number)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a batch to `device` if it is not there already, and keep its memory format.

    A copy to a GPU is from pinned memory and is not waited for.
    """
    if tensor.device.type == device.type:
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)
