"""The kernels as torch operators: their outputs, and what torch.compile and torch.export need to know.

Operators mutate nothing and know no gradients; `_functions` joins forward and backward. A norm is (weight, bias, mean,
var, eps, act), in evaluation as in training. Each compiled function takes what its operator does, and checks it, then
the tensors for the results, then where it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, library

from narsfast import _native

from ._arguments import convolved_map, empty_vector, where

_Library: Any = library.Library  # its methods have no types
_LIBRARY = _Library("narsfast", "DEF")


def _register(schema: str, run: Callable[..., Any], fake: Callable[..., Any]) -> Callable[..., Any]:
    """Define an operator; returned is what calls it, past torch's dispatcher where nobody would notice."""
    name = _LIBRARY.define(schema)
    _LIBRARY.impl(name, run, "CPU")
    if _native.cuda_built():
        _LIBRARY.impl(name, _on_its_device(run), "CUDA")
    library.register_fake(f"narsfast::{name}", fake, lib=_LIBRARY)
    operator = getattr(torch.ops.narsfast, name).default

    def call(x: Tensor, *rest: Any) -> Any:
        return operator(x, *rest) if _noticed(x) else run(x, *rest)

    return call


def _noticed(x: Tensor) -> bool:
    """Whether a call with the map x must go through the dispatcher: anything but the CPU's kernels may answer, or look
    on. For twenty arguments the dispatcher takes longer than all other work around a small map."""
    return (
        torch.compiler.is_compiling()
        or type(x) is not Tensor
        or not x.is_cpu
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._len_torch_function_stack() > 0
        or torch._C._functorch.peek_interpreter_stack() is not None
        or torch._C._get_tracing_state() is not None
        or torch._C._autograd._profiler_enabled()
    )


def _on_its_device(run: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(x: Tensor, *rest: Any) -> Any:
        for other in rest:
            # Kernels are handed addresses: what lies elsewhere would end the process's use of the device.
            if isinstance(other, Tensor) and other.device != x.device:
                raise ValueError(
                    f"all tensors must be on {x.device}, where the map is, but one is on {other.device}"
                )
        with torch.cuda.device(x.device):
            return run(x, *rest)

    return guarded


_NORM = "Tensor weight, Tensor bias, Tensor mean, Tensor var, float eps, str act"
_INPUT = "Tensor? in_weight, Tensor? in_bias, Tensor? in_mean, Tensor? in_var, float in_eps, str in_act"
_EXCITE = (
    "Tensor? reduce_weight, Tensor? reduce_bias, Tensor? expand_weight, Tensor? expand_bias, str inner_act"
)
_WINDOW = "int stride, int padding"


# ---- moments: mean and biased variance of every channel ----


def _moments_outputs(y: Tensor) -> tuple[Tensor, Tensor]:
    channels = y.shape[1]
    return empty_vector(y, channels), empty_vector(y, channels)


def _moments(y: Tensor) -> tuple[Tensor, Tensor]:
    outputs = _moments_outputs(y)
    _native.depthwise_moments(y, outputs, where(y))
    return outputs


moments = _register("moments(Tensor y) -> (Tensor, Tensor)", _moments, _moments_outputs)


# ---- convolve: a depthwise convolution, and the moments of its output ----


def _convolve_outputs(x: Tensor, kernel: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    channels = x.shape[1]
    return convolved_map(x, kernel, *rest[-2:]), empty_vector(x, channels), empty_vector(x, channels)


def _convolve(x: Tensor, kernel: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    outputs = _convolve_outputs(x, kernel, *rest)
    _native.depthwise_convolve(x, kernel, *rest, outputs, where(x))
    return outputs


convolve = _register(
    f"convolve(Tensor x, Tensor kernel, {_INPUT}, {_WINDOW}) -> (Tensor, Tensor, Tensor)",
    _convolve,
    _convolve_outputs,
)


# ---- normalise: norm, activation, squeeze-excite ----


def _normalise_outputs(y: Tensor, *rest: Any) -> list[Tensor]:
    """Without squeeze-excite the map alone, else the map and its state."""
    images, channels = y.shape[:2]
    outputs = [torch.empty_like(y)]
    reduce_weight = rest[6]
    if reduce_weight is not None:
        outputs.append(empty_vector(y, images * (2 * channels + reduce_weight.shape[0])))
    return outputs


def _normalise(y: Tensor, *rest: Any) -> list[Tensor]:
    outputs = _normalise_outputs(y, *rest)
    _native.depthwise_normalise(y, *rest, outputs, where(y))
    return outputs


normalise = _register(
    f"normalise(Tensor y, {_NORM}, {_EXCITE}) -> Tensor[]",
    _normalise,
    _normalise_outputs,
)


# ---- reduce: the gradients of a norm's weight and bias, and of squeeze-excite ----


def _reduce_outputs(d_out: Tensor, y: Tensor, *rest: Any) -> list[Tensor]:
    """Gradients: of the norm's weight and bias; with squeeze-excite also of the pooled map, flat, and its weights."""
    images, channels = y.shape[:2]
    outputs = [torch.empty_like(vector) for vector in rest[:2]]
    if rest[7] is not None:
        outputs += [empty_vector(y, images * channels), *map(torch.empty_like, rest[7:11])]
    return outputs


def _reduce(d_out: Tensor, y: Tensor, *rest: Any) -> list[Tensor]:
    outputs = _reduce_outputs(d_out, y, *rest)
    _native.depthwise_reduce(d_out, y, *rest, outputs, where(y))
    return outputs


reduce = _register(
    f"reduce(Tensor d_out, Tensor y, {_NORM}, Tensor? state, {_EXCITE}) -> Tensor[]",
    _reduce,
    _reduce_outputs,
)


# ---- norm_gradient: the gradient of a norm's input ----


def _norm_gradient_outputs(d_out: Tensor, y: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(y)


def _norm_gradient(d_out: Tensor, y: Tensor, *rest: Any) -> Tensor:
    d_y = _norm_gradient_outputs(d_out, y)
    _native.depthwise_norm_gradient(d_out, y, *rest, d_y, where(y))
    return d_y


norm_gradient = _register(
    f"norm_gradient(Tensor d_out, Tensor y, {_NORM}, Tensor d_weight, Tensor d_bias, float count) -> Tensor",
    _norm_gradient,
    _norm_gradient_outputs,
)


# ---- convolve_gradient: through a norm, squeeze-excite, the convolution and the norm before them ----


def _convolve_gradient_outputs(*arguments: Any) -> list[Tensor]:
    """Gradients: of x and the kernel, then of the input norm's weight and bias, if there is one.

    With an input norm and in_count None, the first is that of the normalised x: a group sums the others before
    norm_gradient goes on.
    """
    x, kernel, in_weight = arguments[13:16]
    outputs = [torch.empty_like(x), torch.empty_like(kernel)]
    if in_weight is not None:
        outputs += [torch.empty_like(in_weight), torch.empty_like(in_weight)]
    return outputs


def _convolve_gradient(*arguments: Any) -> list[Tensor]:
    outputs = _convolve_gradient_outputs(*arguments)
    _native.depthwise_convolve_gradient(*arguments, outputs, where(arguments[0]))
    return outputs


convolve_gradient = _register(
    f"convolve_gradient(Tensor d_out, Tensor y, {_NORM}, Tensor? state, Tensor? d_pooled, Tensor d_weight, "
    f"Tensor d_bias, float count, Tensor x, Tensor kernel, {_INPUT}, float? in_count, {_WINDOW}) -> Tensor[]",
    _convolve_gradient,
    _convolve_gradient_outputs,
)


# ---- infer: the whole block in evaluation ----


def _infer_outputs(x: Tensor, kernel: Tensor, *rest: Any) -> Tensor:
    return convolved_map(x, kernel, *rest[-2:])


def _infer(x: Tensor, kernel: Tensor, *rest: Any) -> Tensor:
    out = _infer_outputs(x, kernel, *rest)
    _native.depthwise_infer(x, kernel, *rest, out, where(x))
    return out


infer = _register(
    f"infer(Tensor x, Tensor kernel, {_INPUT}, {_NORM}, {_EXCITE}, {_WINDOW}) -> Tensor",
    _infer,
    _infer_outputs,
)
