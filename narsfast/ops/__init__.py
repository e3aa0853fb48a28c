"""The building blocks of networks that have kernels of their own: plain torch modules with a fused path."""

from ._arguments import ExciteArgs, NormArgs, WindowArgs
from ._children import (
    ACTIVATIONS,
    GATES,
    Watched,
    activation_module,
    gate_module,
    is_activation,
    is_norm,
    untouched,
)
from ._depthwise_se import DepthwiseSE, SqueezeExcite
from ._functions import BatchStatistics, depthwise_se, norm_act
from ._modules import BatchNorm, Fusable, Ops, norm_args, plain_ops, set_ops, update_buffers
from ._padded_conv import Conv2dPadded, Conv2dSame, Padding
from ._pointwise import pointwise
from ._shared_norm import SharedBatchNorm, share_norms

__all__ = [
    "ACTIVATIONS",
    "GATES",
    "BatchNorm",
    "BatchStatistics",
    "Conv2dPadded",
    "Conv2dSame",
    "DepthwiseSE",
    "ExciteArgs",
    "Fusable",
    "NormArgs",
    "Ops",
    "Padding",
    "SharedBatchNorm",
    "SqueezeExcite",
    "Watched",
    "WindowArgs",
    "activation_module",
    "depthwise_se",
    "gate_module",
    "is_activation",
    "is_norm",
    "norm_act",
    "norm_args",
    "plain_ops",
    "pointwise",
    "set_ops",
    "share_norms",
    "untouched",
    "update_buffers",
]
