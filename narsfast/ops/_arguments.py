"""What the compiled kernels are called with: addresses and sizes of checked tensors.

Maps are (n, c, h, w) in channels_last memory. Every other tensor (weights, per-channel and per-image vectors) is
contiguous, and float32, or float64 where the map is float64.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from narsfast import _native

ACTIVATIONS = {"none": 0, "relu": 1, "hard_swish": 2}
"""Names of the activations and their numbers in the compiled module."""

KERNELS = (3, 5, 7)
STRIDES = (1, 2)

DTYPES = {
    "cpu": {torch.float32: 0, torch.bfloat16: 1, torch.float64: 3},
    "cuda": {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2},
}
"""What maps hold on each device, and its number in the compiled module."""

Where = tuple[int, Callable[[int], int]] | None
"""A CUDA stream, and what gives memory on its device: bytes to address. None: the CPU."""


def supports(x: Tensor, kernel: int, stride: int) -> bool:
    """Whether the kernels of this build take the map `x`."""
    device = x.device.type
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


def map_address(name: str, x: Tensor) -> int:
    """Address of a map, which must lie in channels_last memory."""
    if not x.is_contiguous(memory_format=torch.channels_last):
        raise ValueError(
            f"{name} of shape {tuple(x.shape)} has strides {x.stride()}; it must lie in channels_last memory: "
            "convert it once with .contiguous(memory_format=torch.channels_last)"
        )
    return x.data_ptr()


class Vectors:
    """Addresses of everything but maps, for a map of one dtype.

    Attributes:
        dtype: The map's number in the compiled module.
    """

    def __init__(self, like: Tensor) -> None:
        dtypes = DTYPES[like.device.type]
        if like.dtype not in dtypes:
            names = ", ".join(str(dtype) for dtype in dtypes)
            raise TypeError(f"a map on {like.device.type} is {like.dtype}; it must be one of {names}")
        self.dtype = dtypes[like.dtype]
        self._expected = vector_dtype(like.dtype)

    def address(self, name: str, x: Tensor | None) -> int:
        """0 for None."""
        if x is None:
            return 0
        if x.dtype is not self._expected or not x.is_contiguous():
            raise ValueError(
                f"{name} must be contiguous {self._expected}, not {x.dtype} of strides {x.stride()}"
            )
        return x.data_ptr()

    def norm(
        self,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor | None,
        var: Tensor | None,
        eps: float,
        act: str,
    ) -> tuple[int, int, int, int, float, int]:
        """A norm with its activation; weight None: none."""
        return (
            self.address("weight", weight),
            self.address("bias", bias),
            self.address("mean", mean),
            self.address("var", var),
            eps,
            ACTIVATIONS[act],
        )

    def excite(
        self,
        reduce_weight: Tensor | None,
        reduce_bias: Tensor | None,
        expand_weight: Tensor | None,
        expand_bias: Tensor | None,
        act: str,
    ) -> tuple[int, int, int, int, int, int]:
        """The weights of a squeeze-excite; reduce_weight None: none."""
        return (
            0 if reduce_weight is None else reduce_weight.shape[0],
            ACTIVATIONS[act],
            self.address("reduce_weight", reduce_weight),
            self.address("reduce_bias", reduce_bias),
            self.address("expand_weight", expand_weight),
            self.address("expand_bias", expand_bias),
        )


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


def window(x: Tensor, kernel: Tensor, stride: int, padding: int) -> tuple[int, int, int, int, int, int, int]:
    """Shape of a convolution as the compiled module takes it."""
    images, channels, height, width = x.shape
    return images, height, width, channels, kernel.shape[-1], stride, padding


def shape(x: Tensor) -> tuple[int, int, int]:
    """Images, pixels, channels."""
    images, channels, height, width = x.shape
    return images, height * width, channels


def empty_map(x: Tensor, height: int, width: int) -> Tensor:
    """A map like x of another size."""
    images, channels = x.shape[:2]
    pixel = width * channels
    return x.new_empty_strided((images, channels, height, width), (height * pixel, 1, pixel, channels))


def empty_vector(x: Tensor, size: int) -> Tensor:
    """A vector (size,) of what goes with the map x."""
    # With strides, and without a dtype, torch looks at its arguments for less time.
    if x.dtype is torch.float32:
        return x.new_empty_strided((size,), (1,))
    return x.new_empty_strided((size,), (1,), dtype=vector_dtype(x.dtype))
