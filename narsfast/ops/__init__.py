"""The building blocks of the networks that have kernels of their own: plain torch modules with a fused path."""

from ._depthwise_se import DepthwiseSE, SqueezeExcite
from ._functions import Excite, Norm, Statistics, depthwise_se, norm_act
from ._modules import BatchNorm, Fusable, Ops, batch_norm, plain_ops, set_ops, update_buffers
from ._pointwise import pointwise
from ._shared_norm import SharedBatchNorm, share_norms

__all__ = [
    "BatchNorm",
    "DepthwiseSE",
    "Excite",
    "Fusable",
    "Norm",
    "Ops",
    "SharedBatchNorm",
    "SqueezeExcite",
    "Statistics",
    "batch_norm",
    "depthwise_se",
    "norm_act",
    "plain_ops",
    "pointwise",
    "set_ops",
    "share_norms",
    "update_buffers",
]
