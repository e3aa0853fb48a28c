"""The building blocks of the networks that deserve kernels of their own, in plain torch."""

from ._depthwise_se import DepthwiseSE, SqueezeExcite

__all__ = ["DepthwiseSE", "SqueezeExcite"]
