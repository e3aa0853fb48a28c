"""What the kernels take, where they run, and shapes and strides of what they make.

Maps are (n, c, h, w) in channels_last memory. Every other tensor (weights, per-channel and per-image vectors) is
contiguous, and float32, or float64 where the map is float64.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from narsfast import _native

KERNELS = (3, 5, 7)
STRIDES = (1, 2)

DTYPES = {
    "cpu": (torch.float32, torch.bfloat16, torch.float64),
    "cuda": (torch.float32, torch.bfloat16, torch.float16),
}
"""What maps hold on each device."""

Where = tuple[int, Callable[[int], int]] | None
"""A CUDA stream, and what gives memory on its device: bytes to address. None: the CPU."""


def supports(x: Tensor, kernel: int, stride: int) -> bool:
    """Whether the kernels of this build take the map `x`."""
    device = "cpu" if x.is_cpu else x.device.type
    if x.dtype not in DTYPES.get(device, ()) or kernel not in KERNELS or stride not in STRIDES:
        return False
    return device == "cpu" or _native.cuda_built()


def vector_dtype(dtype: torch.dtype) -> torch.dtype:
    """What everything but the map itself is kept in: float64 for float64 maps, else float32."""
    return torch.float64 if dtype is torch.float64 else torch.float32


def out_size(size: int, kernel: int, stride: int, padding: int) -> int:
    """Of a convolution along one side."""
    if size + 2 * padding < kernel:
        raise ValueError(f"a side of {size} padded by {padding} is smaller than the kernel of {kernel}")
    return (size + 2 * padding - kernel) // stride + 1


def where(x: Tensor) -> Where:
    """Where the kernels run that take the map x: on the stream that is current on its device."""
    if x.is_cpu:
        return None
    kept = []

    def allocate(size: int) -> int:
        # Freed after the launch; later work on the same stream waits for the kernel.
        kept.append(torch.empty(size, dtype=torch.uint8, device=x.device))
        return kept[-1].data_ptr()

    return torch.cuda.current_stream(x.device).cuda_stream, allocate


def convolved_map(x: Tensor, kernel: Tensor, stride: int, padding: int) -> Tensor:
    """What a convolution of the map x makes."""
    images, channels, height, width = x.shape
    size = kernel.shape[-1]
    out_height, out_width = out_size(height, size, stride, padding), out_size(width, size, stride, padding)
    if out_height == height and out_width == width:
        return torch.empty_like(x)
    pixel = out_width * channels
    return x.new_empty_strided(
        (images, channels, out_height, out_width), (out_height * pixel, 1, pixel, channels)
    )


def empty_vector(x: Tensor, size: int) -> Tensor:
    """A vector (size,) of what goes with the map x."""
    return x.new_empty(size, dtype=vector_dtype(x.dtype))
