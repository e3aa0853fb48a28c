"""Batch norms that share batch statistics among the processes of a group, on any device and backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, distributed, nn

from narsfast.errors import UserError

from ._arguments import supports
from ._children import NORMS
from ._functions import norm_act
from ._modules import norm_args, update_buffers


class SharedBatchNorm(nn.SyncBatchNorm):
    """torch's SyncBatchNorm, which supports CUDA tensors only, for the CPU too.

    The blocks of this project read its parameters and its group and compute the norm in their own kernels. All other
    modules call its forward: torch's on a GPU; on the CPU the kernels of `norm_act`, by float32 for dtypes that they
    do not support.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) to the same shape."""
        if not self.training or x.device.type != "cpu":
            plain: Tensor = super().forward(x)
            return plain
        supported = x if supports(x, 3, 1) else x.float()
        norm = norm_args(self, "none")
        out, statistics = norm_act(supported.contiguous(memory_format=torch.channels_last), norm)
        update_buffers(self, statistics)
        return out.to(x.dtype)


NORMS.append(SharedBatchNorm)


def share_norms(network: nn.Module, group: Any = None) -> Callable[[], None]:
    """Replace the batch norms of a network by ones that share their statistics; parameters and buffers stay.

    Args:
        network: Changed in place.
        group: A torch.distributed process group; None is the default group.

    Returns:
        A function that restores the network's own modules.

    Raises:
        UserError: A batch norm is of a kind that cannot be replaced.
    """
    replaced = []
    for parent in network.modules():
        for name, module in list(parent.named_children()):
            if type(module) is nn.BatchNorm2d:
                setattr(parent, name, _shared(module, group or distributed.group.WORLD))
                replaced.append((parent, name, module))
            elif isinstance(module, nn.modules.batchnorm._BatchNorm) and not isinstance(
                module, nn.SyncBatchNorm
            ):
                raise UserError(
                    f"{name} of the network is a {type(module).__name__}; processes share the statistics of "
                    "torch.nn.BatchNorm2d only, so train this network in one process"
                )

    def restore() -> None:
        for parent, name, module in replaced:
            module.train(getattr(parent, name).training)
            setattr(parent, name, module)

    return restore


def _shared(module: nn.BatchNorm2d, group: Any) -> SharedBatchNorm:
    shared = SharedBatchNorm(
        module.num_features,
        module.eps,
        module.momentum,
        module.affine,
        module.track_running_stats,
        group,
    )
    shared._parameters = module._parameters
    shared._buffers = module._buffers
    return shared.train(module.training)
