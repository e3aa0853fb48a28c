"""What turns torch's modules into arguments of the fused block, and moves their buffers as torch does."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from torch import Tensor, distributed, nn

from narsfast.errors import UserError

from ._arguments import supports
from ._functions import Excite, Norm, Statistics

Ops = Literal["fused", "torch"]
"""Who computes a block: this project's kernels, or torch's modules."""
BatchNorm = nn.BatchNorm2d | nn.SyncBatchNorm
"""The batch norms that the fused block takes."""

_reported: set[str] = set()


class Fusable(nn.Module):
    """A module that has a fused path beside the plain one. Both read the same parameters and buffers.

    Attributes:
        ops: "fused" takes this project's kernels where they support the input, "torch" always the plain modules.
    """

    ops: Ops = "fused"

    def takes(self, x: Tensor, kernel: int = 3, stride: int = 1) -> bool:
        """Whether the fused path is taken; the first time that it is wanted and cannot be, a warning says why."""
        if self.ops != "fused" or x.is_meta:
            return False
        if supports(x, kernel, stride):
            return True
        reason = f"{x.dtype} on {x.device.type}, kernel {kernel}, stride {stride}"
        if reason not in _reported:
            _reported.add(reason)
            warnings.warn(
                f"narsfast has no fused kernels for {reason}; plain torch runs instead", stacklevel=3
            )
        return False


def set_ops(network: nn.Module, ops: str) -> None:
    """Choose the path of every block of a network.

    Raises:
        UserError: `ops` is neither "fused" nor "torch".
    """
    if ops not in ("fused", "torch"):
        raise UserError(f"ops is {ops!r}; it should be 'fused' or 'torch'")
    for module in network.modules():
        if isinstance(module, Fusable):
            module.ops = ops  # type: ignore[assignment]


@contextmanager
def plain_ops(network: nn.Module) -> Iterator[None]:
    """Inside, every block runs its plain modules, so that hooks on them see what passes."""
    blocks = [module for module in network.modules() if isinstance(module, Fusable)]
    before = [block.ops for block in blocks]
    try:
        set_ops(network, "torch")
        yield
    finally:
        for block, ops in zip(blocks, before, strict=True):
            block.ops = ops


def parameter(module: nn.Module, name: str) -> Any:
    """`getattr(module, name)`, in a third of the time where nothing stands in the parameter's place."""
    found = module._parameters.get(name)
    return getattr(module, name) if found is None else found


def child(module: nn.Module, name: str) -> Any:
    """`getattr(module, name)` of a submodule, in a third of the time."""
    return module._modules[name]


def batch_norm(module: BatchNorm, act: str) -> Norm:
    """A norm and the activation after it as data."""
    weight, bias = parameter(module, "weight"), parameter(module, "bias")
    if not module.training:
        buffers = module._buffers
        return Norm(weight, bias, buffers["running_mean"], buffers["running_var"], module.eps, act)
    group: Any = None
    if isinstance(module, nn.SyncBatchNorm) and distributed.is_initialized():
        group = module.process_group or distributed.group.WORLD
    return Norm(weight, bias, None, None, module.eps, act, group)


def excite(reduce: nn.Conv2d, expand: nn.Conv2d, act: str) -> Excite:
    """The 1x1 convolutions of a squeeze-excite as data."""
    return Excite(
        parameter(reduce, "weight"),
        parameter(reduce, "bias"),
        parameter(expand, "weight"),
        parameter(expand, "bias"),
        act,
    )


def update_buffers(module: BatchNorm, statistics: Statistics | None) -> None:
    """Move the running statistics as torch's batch norm does (momentum None: the plain average)."""
    if statistics is None or not module.training:
        return
    buffers = module._buffers
    mean, var, tracked = buffers["running_mean"], buffers["running_var"], buffers["num_batches_tracked"]
    if mean is None or var is None or tracked is None:
        return
    tracked.add_(1)
    share = 1.0 / float(tracked) if module.momentum is None else module.momentum
    for buffer, moved_to in ((mean, statistics.mean), (var, statistics.unbiased_var)):
        buffer.lerp_(moved_to if moved_to.dtype is buffer.dtype else moved_to.to(buffer.dtype), share)
