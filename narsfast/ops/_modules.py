"""The arguments of the fused block from torch's modules, and updates of their buffers as torch does them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, distributed, nn

from narsfast.errors import UserError

from ._arguments import ExciteArgs, NormArgs, supports
from ._children import Watched
from ._functions import BatchStatistics

Ops = Literal["fused", "torch"]
"""Who computes a block: this project's kernels, or torch's modules."""
BatchNorm = nn.BatchNorm2d | nn.SyncBatchNorm
"""The batch norms that the fused block takes."""

_reported: set[str] = set()


class Fusable(Watched):
    """A module with a fused path beside the plain one. Both read the same parameters and buffers.

    The plain path calls the modules. It also runs where the fused one would pass over something: a child that was
    replaced by another kind of module, or whose calls something observes (hooks, torch.jit.trace, torch.fx).

    Attributes:
        ops: "fused" runs this project's kernels where they support the input, "torch" always the plain modules.
    """

    ops: Ops = "fused"

    def runs_fused(self, x: Tensor, kernel: int = 3, stride: int = 1) -> bool:
        """Return whether the fused path runs for the map x, given that the children are intact.

        Warns once of each kind of map for which there are no kernels.
        """
        if self.ops != "fused" or (type(x) is not Tensor and not _is_fusable(x)):
            return False
        if supports(x, kernel, stride):
            return True
        if x.is_meta:
            return False
        reason = f"{x.dtype} on {x.device.type}, kernel {kernel}, stride {stride}"
        if reason not in _reported:
            _reported.add(reason)
            warnings.warn(
                f"narsfast has no fused kernels for {reason}; plain torch runs instead", stacklevel=3
            )
        return False


def _is_fusable(x: Any) -> bool:
    """Return whether x is a tensor, not a node of torch.fx, and not one of torch.onnx.export, which has no such ops."""
    return isinstance(x, Tensor) and not torch.onnx.is_in_onnx_export()


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
    """Run the plain modules of every block inside, so that their hooks are called."""
    blocks = [module for module in network.modules() if isinstance(module, Fusable)]
    before = [block.ops for block in blocks]
    try:
        set_ops(network, "torch")
        yield
    finally:
        for block, ops in zip(blocks, before, strict=True):
            block.ops = ops


def parameter(module: nn.Module, name: str) -> Any:
    """Return `getattr(module, name)`, in a third of the time unless something replaces the parameter."""
    found = module._parameters.get(name)
    return getattr(module, name) if found is None else found


def weight_and_bias(module: nn.Module) -> tuple[Any, Any]:
    """Return both parameters of a module, likewise."""
    found: Any = module._parameters
    weight, bias = found.get("weight"), found.get("bias")
    if weight is None or bias is None:
        return module.weight, module.bias
    return weight, bias


def norm_args(module: BatchNorm, act: str) -> NormArgs:
    """Return the arguments of a norm and the activation after it."""
    weight, bias = weight_and_bias(module)
    if not module.training:
        buffers = module._buffers
        return NormArgs(weight, bias, buffers["running_mean"], buffers["running_var"], module.eps, act)
    group: Any = None
    if isinstance(module, nn.SyncBatchNorm) and distributed.is_initialized():
        group = module.process_group or distributed.group.WORLD
    return NormArgs(weight, bias, None, None, module.eps, act, group)


def excite_args(reduce: nn.Conv2d, expand: nn.Conv2d, act: str, gate: str) -> ExciteArgs:
    """Return the arguments of a squeeze-excite from its 1x1 convolutions."""
    return ExciteArgs(*weight_and_bias(reduce), *weight_and_bias(expand), act, gate)


def update_buffers(module: BatchNorm, statistics: BatchStatistics | None) -> None:
    """Update the running statistics as torch's batch norm does (momentum None: the plain average)."""
    if statistics is None or not module.training:
        return
    buffers = module._buffers
    mean, var, tracked = buffers["running_mean"], buffers["running_var"], buffers["num_batches_tracked"]
    if mean is None or var is None or tracked is None:
        return
    tracked.add_(1)
    share = 1.0 / float(tracked) if module.momentum is None else module.momentum
    for buffer, target in ((mean, statistics.mean), (var, statistics.unbiased_var)):
        buffer.lerp_(target if target.dtype is buffer.dtype else target.to(buffer.dtype), share)
