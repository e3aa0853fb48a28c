"""What the kernels take, where they run, and shapes and strides of their results.

Maps are (n, c, h, w) in channels_last memory. Every other tensor (weights, per-channel and per-image vectors) is
contiguous, and float32, or float64 where the map is float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from narsfast import _native

KERNELS = (3, 5, 7)
STRIDES = (1, 2)

DTYPES = {
    "cpu": (torch.float32, torch.bfloat16, torch.float64),
    "cuda": (torch.float32, torch.bfloat16, torch.float16),
}
"""The dtypes of maps on each device."""

LaunchContext = tuple[int, Callable[[int], int]] | None
"""A CUDA stream, and a function that allocates memory on its device: bytes to address. None: the CPU."""


class NormArgs(NamedTuple):
    """A batch norm and the activation after it. Without a weight: the identity.

    The functions of this package take the statistics of the batch where `mean` and `var` are None; kernels need them.
    """

    weight: Tensor | None
    """(channels,), as the other vectors."""
    bias: Tensor | None
    mean: Tensor | None
    var: Tensor | None
    eps: float
    act: str
    group: Any = None
    """The torch.distributed process group that shares batch statistics; None: this process alone. Kernels ignore it.

    Members may have different numbers of images, also none, as with torch's SyncBatchNorm; all must take part.
    """


class ExciteArgs(NamedTuple):
    """A squeeze-excite: weights of 1x1 convolutions or of linear layers, and functions. Without weights: none.

    (squeezed, channels[, 1, 1]), (squeezed,), (channels, squeezed[, 1, 1]), (channels,).
    """

    reduce_weight: Tensor | None
    reduce_bias: Tensor | None
    expand_weight: Tensor | None
    expand_bias: Tensor | None
    act: str
    gate: str = "hard_sigmoid"


class WindowArgs(NamedTuple):
    """The window of a convolution: its stride, and zeros around the map. Its kernel comes with the weights."""

    stride: int = 1
    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0


class NormSums(NamedTuple):
    """The gradients of a norm's weight and bias, (channels,), over all values that the statistics are of.

    `num_values` is the number of these values per channel; 0: the statistics are constants.
    """

    d_weight: Tensor
    d_bias: Tensor
    num_values: float


def supports(x: Tensor, kernel: int, stride: int) -> bool:
    """Return whether the kernels of this build take the map `x`."""
    device = "cpu" if x.is_cpu else x.device.type
    if x.dtype not in DTYPES.get(device, ()) or kernel not in KERNELS or stride not in STRIDES:
        return False
    return device == "cpu" or _native.cuda_built()


def vector_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype of everything but the map: float64 for float64 maps, else float32."""
    return torch.float64 if dtype is torch.float64 else torch.float32


def out_size(size: int, kernel: int, stride: int, before: int, after: int) -> int:
    """Return the size of a convolution's output along one side."""
    padded = size + before + after
    if padded < kernel:
        raise ValueError(
            f"a side of {size} padded by {before} and {after} is smaller than the kernel of {kernel}"
        )
    return (padded - kernel) // stride + 1


def launch_context(x: Tensor) -> LaunchContext:
    """Return where the kernels for the map x run: on the current stream of its device."""
    if x.is_cpu:
        return None
    kept = []

    def allocate(size: int) -> int:
        # Freed after the launch; later work on the same stream waits for the kernel.
        kept.append(torch.empty(size, dtype=torch.uint8, device=x.device))
        return kept[-1].data_ptr()

    return torch.cuda.current_stream(x.device).cuda_stream, allocate


def convolved_map(x: Tensor, kernel: Tensor, window: WindowArgs) -> Tensor:
    """Return an empty tensor for the convolution of the map x."""
    images, channels, height, width = x.shape
    size, (stride, top, bottom, left, right) = kernel.shape[-1], window
    out_height = out_size(height, size, stride, top, bottom)
    out_width = out_size(width, size, stride, left, right)
    if out_height == height and out_width == width:
        return torch.empty_like(x)
    pixel = out_width * channels
    return x.new_empty_strided(
        (images, channels, out_height, out_width), (out_height * pixel, 1, pixel, channels)
    )


def empty_vector(x: Tensor, size: int) -> Tensor:
    """Return an empty vector (size,) of the dtype that goes with the map x."""
    return x.new_empty(size, dtype=vector_dtype(x.dtype))
