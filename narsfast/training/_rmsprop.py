"""RMSProp in TensorFlow's form, with the moving average of the weights in the same step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import increment_version
from torch.optim import Optimizer

from narsfast import _native

from ._weights import MovingAverage

RmspropBackend = Literal["auto", "native", "torch"]
"""Who computes the step of RMSProp: see `RMSpropTF`."""

RMSPROP_ALPHA = 0.9
"""Decay of the mean square (our default)."""


class _Row(NamedTuple):
    """A weight and everything that one step reads or writes with it; the average is None where there is none."""

    weight: Tensor
    gradient: Tensor
    square: Tensor
    velocity: Tensor
    average: Tensor | None


class RMSpropTF(Optimizer):
    """RMSProp in TensorFlow's form: epsilon inside the root, learning rate inside the momentum.

    The formula is the one that TensorFlow documents for its `RMSPropOptimizer`.

    With gradient g (weight decay added to it) and mean square s, which starts at one::

        s = alpha * s + (1 - alpha) * g**2
        v = momentum * v + lr * g / sqrt(s + eps)
        w = w - v

    torch.optim.RMSprop puts epsilon outside the root, starts s at zero and multiplies by the learning rate
    after the momentum.

    The compiled step visits each weight once and updates its average in the same pass. It takes float32 on the CPU, or
    on a CUDA device where this build has kernels for it, dense in memory in any order of dimensions, with a gradient,
    states and an average on the same device in the same order.

    Args:
        params: Parameters or parameter groups.
        lr: Learning rate.
        alpha: Decay of the mean square.
        eps: Added to the mean square, inside the root.
        momentum: Decay of the velocity v.
        weight_decay: Times the weight, added to its gradient.
        average: As the attribute.
        backend: ``native``: the compiled step, and an error for a weight that it does not take; ``torch``: torch's
            multi-tensor operators; ``auto``: the compiled step for each weight on the CPU that it takes, else torch.

    Attributes:
        average: Updated with the new weights, and everything else that it averages, at the end of each step; None is
            without. It is not part of `state_dict`, and a copy of the optimizer is without it.
    """

    average: MovingAverage | None = None
    _backend: RmspropBackend = "auto"

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        *,
        alpha: float = RMSPROP_ALPHA,
        eps: float = 1e-3,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        average: MovingAverage | None = None,
        backend: RmspropBackend = "auto",
    ) -> None:
        if backend not in ("auto", "native", "torch"):
            raise ValueError(f"backend is {backend!r}; it must be 'auto', 'native' or 'torch'")
        defaults = {"lr": lr, "alpha": alpha, "eps": eps, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(params, defaults)
        self.average = average
        self._backend = backend

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step; parameters without a gradient are left alone, but their averages are updated."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        averaged = [] if self.average is None else self.average.pairs
        averages = {id(tensor): average for tensor, average in averaged}
        native: dict[torch.device, list[tuple[_Row, int]]] = {}
        plain: list[tuple[list[_Row], dict[str, Any]]] = []
        for index, group in enumerate(self.param_groups):
            rows = [
                _Row(weight, weight.grad, *self._states(weight), averages.pop(id(weight), None))
                for weight in group["params"]
                if weight.grad is not None
            ]
            left = []
            for row in rows:
                if self._takes(row):
                    native.setdefault(row.weight.device, []).append((row, index))
                else:
                    left.append(row)
            plain.append((left, group))
        others = [(tensor, average) for tensor, average in averaged if id(tensor) in averages]
        kept = 1.0 if self.average is None else self.average.advance()
        for device, numbered in native.items():
            _native_step(self.param_groups, numbered, kept, device)
        for rows, group in plain:
            if rows:
                _torch_step(group, rows)
        others += [(row.weight, row.average) for rows, _ in plain for row in rows if row.average is not None]
        if others:
            tensors, into = (list(column) for column in zip(*others, strict=True))
            torch._foreach_lerp_(into, tensors, 1.0 - kept)
        return loss

    def _states(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        state = self.state[weight]
        if not state:
            state["square"] = torch.ones_like(weight)
            state["velocity"] = torch.zeros_like(weight)
        return state["square"], state["velocity"]

    def _takes(self, row: _Row) -> bool:
        """Tell whether the compiled step takes a row.

        Raises:
            ValueError: It cannot, and the backend allows no other.
        """
        if self._backend == "torch" or (self._backend == "auto" and not row.weight.is_cpu):
            return False
        takes = _same_memory(row if row.average is not None else row[:-1])  # type: ignore[arg-type]
        if not takes and self._backend == "native":
            raise ValueError(
                f"a weight of shape {tuple(row.weight.shape)} is {row.weight.dtype} on {row.weight.device} with "
                f"strides {row.weight.stride()} and a gradient of {row.gradient.stride()}; the backend 'native' takes "
                "dense float32 on the CPU, or on CUDA in a build with kernels, with a gradient, states and an average "
                "of the same strides: take 'auto'"
            )
        return takes


def _same_memory(tensors: tuple[Tensor, ...]) -> bool:
    """Tell whether element i in memory is the same element of all tensors, float32 on a device of the compiled step."""
    first = tensors[0]
    shape = first.shape
    on_cpu = first.is_cpu
    if not on_cpu and not (first.is_cuda and _native.cuda_built()):
        return False
    contiguous = True
    for tensor in tensors:
        if tensor.is_cpu is not on_cpu or not (on_cpu or tensor.device == first.device):
            return False
        if tensor.dtype is not torch.float32 or tensor.layout is not torch.strided:
            return False
        if tensor.shape != shape:
            return False
        contiguous = contiguous and tensor.is_contiguous()
    strides = first.stride()
    return contiguous or (_dense(shape, strides) and all(tensor.stride() == strides for tensor in tensors))


def _dense(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Tell whether a tensor fills its memory, whatever the order of its dimensions."""
    expected = 1
    for stride, size in sorted(
        (stride, size) for stride, size in zip(strides, shape, strict=True) if size != 1
    ):
        if stride != expected:
            return False
        expected *= size
    return True


def _native_step(
    groups: list[dict[str, Any]], rows: list[tuple[_Row, int]], kept: float, device: torch.device
) -> None:
    """Take the compiled step of rows on one device, each with the index of its group, and update their averages."""
    constants = [(float(g["lr"]), g["alpha"], g["eps"], g["momentum"], g["weight_decay"]) for g in groups]
    tensors = [
        (
            weight.data_ptr(),
            gradient.data_ptr(),
            square.data_ptr(),
            velocity.data_ptr(),
            0 if average is None else average.data_ptr(),
            weight.numel(),
            index,
        )
        for (weight, gradient, square, velocity, average), index in rows
    ]
    if device.type == "cpu":
        _native.rmsprop(constants, tensors, kept, None)
    else:
        with torch.cuda.device(device):
            _native.rmsprop(constants, tensors, kept, torch.cuda.current_stream(device).cuda_stream)
    for row, _ in rows:
        increment_version(row.weight)


def _torch_step(group: dict[str, Any], rows: list[_Row]) -> None:
    """Take the step of one group by torch; without averages."""
    weights = [row.weight for row in rows]
    squares = [row.square for row in rows]
    velocities = [row.velocity for row in rows]
    gradients = [row.gradient for row in rows]
    if group["weight_decay"]:
        gradients = list(torch._foreach_add(gradients, weights, alpha=group["weight_decay"]))
    torch._foreach_mul_(squares, group["alpha"])
    torch._foreach_addcmul_(squares, gradients, gradients, value=1 - group["alpha"])
    roots = torch._foreach_add(squares, group["eps"])
    torch._foreach_sqrt_(roots)
    torch._foreach_mul_(velocities, group["momentum"])
    torch._foreach_addcdiv_(velocities, gradients, roots, value=group["lr"])
    torch._foreach_sub_(weights, velocities)
