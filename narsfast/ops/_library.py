"""The kernels as torch operators: checks, outputs, and what torch.compile and torch.export need to know.

Operators mutate nothing and know no gradients; `_functions` joins forward and backward. Maps are (n, c, h, w) in
channels_last memory. Every other tensor (weights, per-channel and per-image vectors) is contiguous, and float32, or
float64 where the map is float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, library

from narsfast import _native

ACTIVATIONS = {"none": 0, "relu": 1, "hard_swish": 2}
"""Names of the activations and their numbers in the compiled module."""

KERNELS = (3, 5, 7)
STRIDES = (1, 2)

_DTYPES = {torch.float32: 0, torch.bfloat16: 1, torch.float64: 3}
_Library: Any = library.Library  # its methods have no types
_LIBRARY = _Library("narsfast", "DEF")


def vector_dtype(dtype: torch.dtype) -> torch.dtype:
    """What everything but the map itself is kept in: float64 for float64 maps, else float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def supports(x: Tensor, kernel: int, stride: int) -> bool:
    """Whether the kernels of this build take the map `x`."""
    return x.device.type == "cpu" and x.dtype in _DTYPES and kernel in KERNELS and stride in STRIDES


def out_size(size: int, kernel: int, stride: int, padding: int) -> int:
    """Of a convolution along one side."""
    if size + 2 * padding < kernel:
        raise ValueError(f"a side of {size} padded by {padding} is smaller than the kernel of {kernel}")
    return (size + 2 * padding - kernel) // stride + 1


def _register(schema: str, cpu: Callable[..., Any], fake: Callable[..., Any]) -> None:
    name = _LIBRARY.define(schema)
    _LIBRARY.impl(name, cpu, "CPU")
    library.register_fake(f"narsfast::{name}", fake, lib=_LIBRARY)


def _dtype(x: Tensor) -> int:
    if x.dtype not in _DTYPES:
        names = ", ".join(str(dtype) for dtype in _DTYPES)
        raise TypeError(f"a map on the CPU is {x.dtype}; it must be one of {names}")
    return _DTYPES[x.dtype]


def _map(name: str, x: Tensor) -> int:
    if not x.is_contiguous(memory_format=torch.channels_last):
        raise ValueError(
            f"{name} of shape {tuple(x.shape)} has strides {x.stride()}; it must lie in channels_last memory: "
            "convert it once with .contiguous(memory_format=torch.channels_last)"
        )
    return x.data_ptr()


def _vector(name: str, x: Tensor | None, like: Tensor) -> int:
    if x is None:
        return 0
    if x.dtype != vector_dtype(like.dtype) or not x.is_contiguous():
        raise ValueError(
            f"{name} must be contiguous {vector_dtype(like.dtype)}, not {x.dtype} of strides {x.stride()}"
        )
    return x.data_ptr()


def _affine(
    name: str, scale: Tensor | None, shift: Tensor | None, act: str, like: Tensor
) -> tuple[int, int, int]:
    return _vector(f"{name}_scale", scale, like), _vector(f"{name}_shift", shift, like), ACTIVATIONS[act]


def _excite(
    weights: tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None], act: str, like: Tensor
) -> tuple[int, int, int, int, int, int]:
    addresses = [_vector("a squeeze-excite weight", weight, like) for weight in weights]
    squeezed = 0 if weights[0] is None else weights[0].shape[0]
    return squeezed, ACTIVATIONS[act], addresses[0], addresses[1], addresses[2], addresses[3]


def _window(x: Tensor, weight: Tensor, stride: int, padding: int) -> tuple[int, int, int, int, int, int, int]:
    images, channels, height, width = x.shape
    return images, height, width, channels, weight.shape[-1], stride, padding


def _shape(x: Tensor) -> tuple[int, int, int]:
    return x.shape[0], x.shape[2] * x.shape[3], x.shape[1]


def _empty_map(x: Tensor, height: int, width: int) -> Tensor:
    return torch.empty(
        (x.shape[0], x.shape[1], height, width),
        dtype=x.dtype,
        device=x.device,
        memory_format=torch.channels_last,
    )


def _empty(x: Tensor, *shape: int) -> Tensor:
    return x.new_empty(shape, dtype=vector_dtype(x.dtype))


# ---- convolve: the depthwise convolution and its batch statistics ----


def _convolve_outputs(x: Tensor, weight: Tensor, stride: int, padding: int) -> tuple[Tensor, Tensor, Tensor]:
    height, width = (out_size(size, weight.shape[-1], stride, padding) for size in x.shape[2:])
    return _empty_map(x, height, width), _empty(x, x.shape[1]), _empty(x, x.shape[1])


def _convolve_cpu(
    x: Tensor,
    weight: Tensor,
    in_scale: Tensor | None,
    in_shift: Tensor | None,
    in_act: str,
    stride: int,
    padding: int,
) -> tuple[Tensor, Tensor, Tensor]:
    y, mean, m2 = _convolve_outputs(x, weight, stride, padding)
    _native.depthwise_convolve(
        _dtype(x),
        _window(x, weight, stride, padding),
        _map("x", x),
        _affine("in", in_scale, in_shift, in_act, x),
        _vector("weight", weight, x),
        y.data_ptr(),
        mean.data_ptr(),
        m2.data_ptr(),
    )
    return y, mean, m2


def _convolve_fake(x: Tensor, weight: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    stride, padding = rest[-2:]
    return _convolve_outputs(x, weight, stride, padding)


_register(
    "convolve(Tensor x, Tensor weight, Tensor? in_scale, Tensor? in_shift, str in_act, int stride, int padding)"
    " -> (Tensor, Tensor, Tensor)",
    _convolve_cpu,
    _convolve_fake,
)


# ---- convolve_gradient ----


def _convolve_gradient_outputs(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    channels = x.shape[1]
    return (
        _empty_map(x, x.shape[2], x.shape[3]),
        torch.empty_like(weight),
        _empty(x, channels),
        _empty(x, channels),
    )


def _convolve_gradient_cpu(
    d_out: Tensor,
    y: Tensor,
    scale: Tensor,
    shift: Tensor,
    act: str,
    gate: Tensor | None,
    d_pooled: Tensor | None,
    by_z: Tensor,
    by_y: Tensor,
    constant: Tensor,
    x: Tensor,
    weight: Tensor,
    in_scale: Tensor | None,
    in_shift: Tensor | None,
    in_act: str,
    in_mean: Tensor | None,
    stride: int,
    padding: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    d_x, d_weight, in_sum, in_x_sum = _convolve_gradient_outputs(x, weight)
    if in_scale is None:
        in_sum.zero_()
        in_x_sum.zero_()
    _native.depthwise_convolve_gradient(
        _dtype(x),
        _window(x, weight, stride, padding),
        _norm_gradient_values(d_out, y, gate, d_pooled, by_z, by_y, constant),
        _affine("norm", scale, shift, act, x),
        _map("x", x),
        _affine("in", in_scale, in_shift, in_act, x),
        _vector("in_mean", in_mean, x),
        _vector("weight", weight, x),
        d_x.data_ptr(),
        d_weight.data_ptr(),
        in_sum.data_ptr(),
        in_x_sum.data_ptr(),
    )
    return d_x, d_weight, in_sum, in_x_sum


def _norm_gradient_values(
    d_out: Tensor,
    y: Tensor,
    gate: Tensor | None,
    d_pooled: Tensor | None,
    by_z: Tensor,
    by_y: Tensor,
    constant: Tensor,
) -> tuple[int, int, int, int, int, int, int]:
    return (
        _map("y", y),
        _map("d_out", d_out),
        _vector("gate", gate, y),
        _vector("d_pooled", d_pooled, y),
        _vector("by_z", by_z, y),
        _vector("by_y", by_y, y),
        _vector("constant", constant, y),
    )


def _convolve_gradient_fake(*arguments: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x, weight = arguments[10:12]
    return _convolve_gradient_outputs(x, weight)


_NORM_GRADIENT = (
    "Tensor d_out, Tensor y, Tensor scale, Tensor shift, str act, Tensor? gate, Tensor? d_pooled, Tensor by_z, "
    "Tensor by_y, Tensor constant"
)
_register(
    f"convolve_gradient({_NORM_GRADIENT}, Tensor x, Tensor weight, Tensor? in_scale, Tensor? in_shift, str in_act, "
    "Tensor? in_mean, int stride, int padding) -> (Tensor, Tensor, Tensor, Tensor)",
    _convolve_gradient_cpu,
    _convolve_gradient_fake,
)


# ---- moments: batch statistics of a map ----


def _moments_fake(y: Tensor) -> tuple[Tensor, Tensor]:
    return _empty(y, y.shape[1]), _empty(y, y.shape[1])


def _moments_cpu(y: Tensor) -> tuple[Tensor, Tensor]:
    mean, m2 = _moments_fake(y)
    _native.depthwise_moments(_dtype(y), _shape(y), _map("y", y), mean.data_ptr(), m2.data_ptr())
    return mean, m2


_register("moments(Tensor y) -> (Tensor, Tensor)", _moments_cpu, _moments_fake)


# ---- normalise: affine map, activation, squeeze-excite ----


def _normalise_outputs(y: Tensor, reduce_weight: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    images, channels = y.shape[:2] if reduce_weight is not None else (0, 0)
    squeezed = 0 if reduce_weight is None else reduce_weight.shape[0]
    return (
        torch.empty_like(y),
        _empty(y, images, channels),
        _empty(y, images, squeezed),
        _empty(y, images, channels),
    )


def _normalise_fake(
    y: Tensor, scale: Tensor, shift: Tensor, act: str, reduce_weight: Tensor | None, *_: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return _normalise_outputs(y, reduce_weight)


def _normalise_cpu(
    y: Tensor,
    scale: Tensor,
    shift: Tensor,
    act: str,
    reduce_weight: Tensor | None,
    reduce_bias: Tensor | None,
    expand_weight: Tensor | None,
    expand_bias: Tensor | None,
    inner_act: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    address = _map("y", y)
    out, pooled, hidden, gate = _normalise_outputs(y, reduce_weight)
    _native.depthwise_normalise(
        _dtype(y),
        _shape(y),
        address,
        _affine("norm", scale, shift, act, y),
        _excite((reduce_weight, reduce_bias, expand_weight, expand_bias), inner_act, y),
        out.data_ptr(),
        pooled.data_ptr(),
        hidden.data_ptr(),
        gate.data_ptr(),
    )
    return out, pooled, hidden, gate


_EXCITE = (
    "Tensor? reduce_weight, Tensor? reduce_bias, Tensor? expand_weight, Tensor? expand_bias, str inner_act"
)
_register(
    f"normalise(Tensor y, Tensor scale, Tensor shift, str act, {_EXCITE}) -> (Tensor, Tensor, Tensor, Tensor)",
    _normalise_cpu,
    _normalise_fake,
)


# ---- reduce: the sums that a norm's gradient needs, and the gradients of squeeze-excite ----

Reduced = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def _reduce_outputs(y: Tensor, reduce_weight: Tensor | None) -> Reduced:
    channels = y.shape[1]
    images, squeezed, excited = (
        (0, 0, 0) if reduce_weight is None else (y.shape[0], reduce_weight.shape[0], channels)
    )
    return (
        _empty(y, channels),
        _empty(y, channels),
        _empty(y, images, excited),
        _empty(y, squeezed, excited),
        _empty(y, squeezed),
        _empty(y, excited, squeezed),
        _empty(y, excited),
    )


def _reduce_fake(d_out: Tensor, y: Tensor, *rest: Any) -> Reduced:
    return _reduce_outputs(y, rest[7])


def _reduce_cpu(
    d_out: Tensor,
    y: Tensor,
    scale: Tensor,
    shift: Tensor,
    act: str,
    mean: Tensor,
    pooled: Tensor | None,
    hidden: Tensor | None,
    gate: Tensor | None,
    reduce_weight: Tensor | None,
    reduce_bias: Tensor | None,
    expand_weight: Tensor | None,
    expand_bias: Tensor | None,
    inner_act: str,
) -> Reduced:
    outputs = _reduce_outputs(y, reduce_weight)
    _native.depthwise_reduce(
        _dtype(y),
        _shape(y),
        _map("y", y),
        _map("d_out", d_out),
        _affine("norm", scale, shift, act, y),
        _vector("mean", mean, y),
        _excite((reduce_weight, reduce_bias, expand_weight, expand_bias), inner_act, y),
        (_vector("pooled", pooled, y), _vector("hidden", hidden, y), _vector("gate", gate, y)),
        tuple(output.data_ptr() for output in outputs),
    )
    return outputs


_register(
    "reduce(Tensor d_out, Tensor y, Tensor scale, Tensor shift, str act, Tensor mean, Tensor? pooled, "
    f"Tensor? hidden, Tensor? gate, {_EXCITE}) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    _reduce_cpu,
    _reduce_fake,
)


# ---- norm_gradient: the gradient of a norm without a convolution behind it ----


def _norm_gradient_fake(d_out: Tensor, y: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(y)


def _norm_gradient_cpu(
    d_out: Tensor,
    y: Tensor,
    scale: Tensor,
    shift: Tensor,
    act: str,
    gate: Tensor | None,
    d_pooled: Tensor | None,
    by_z: Tensor,
    by_y: Tensor,
    constant: Tensor,
) -> Tensor:
    d_y = torch.empty_like(y)
    _native.depthwise_norm_gradient(
        _dtype(y),
        _shape(y),
        _norm_gradient_values(d_out, y, gate, d_pooled, by_z, by_y, constant),
        _affine("norm", scale, shift, act, y),
        d_y.data_ptr(),
    )
    return d_y


_register(f"norm_gradient({_NORM_GRADIENT}) -> Tensor", _norm_gradient_cpu, _norm_gradient_fake)


# ---- infer: the whole block in evaluation ----


def _infer_fake(x: Tensor, weight: Tensor, *rest: Any) -> Tensor:
    stride, padding = rest[-2:]
    height, width = (out_size(size, weight.shape[-1], stride, padding) for size in x.shape[2:])
    return _empty_map(x, height, width)


def _infer_cpu(
    x: Tensor,
    weight: Tensor,
    in_scale: Tensor | None,
    in_shift: Tensor | None,
    in_act: str,
    scale: Tensor,
    shift: Tensor,
    act: str,
    reduce_weight: Tensor | None,
    reduce_bias: Tensor | None,
    expand_weight: Tensor | None,
    expand_bias: Tensor | None,
    inner_act: str,
    stride: int,
    padding: int,
) -> Tensor:
    out = _infer_fake(x, weight, stride, padding)
    _native.depthwise_infer(
        _dtype(x),
        _window(x, weight, stride, padding),
        _map("x", x),
        _affine("in", in_scale, in_shift, in_act, x),
        _vector("weight", weight, x),
        _affine("norm", scale, shift, act, x),
        _excite((reduce_weight, reduce_bias, expand_weight, expand_bias), inner_act, x),
        out.data_ptr(),
    )
    return out


_register(
    "infer(Tensor x, Tensor weight, Tensor? in_scale, Tensor? in_shift, str in_act, Tensor scale, Tensor shift, "
    f"str act, {_EXCITE}, int stride, int padding) -> Tensor",
    _infer_cpu,
    _infer_fake,
)
