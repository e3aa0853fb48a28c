"""The kernels as torch operators: their outputs, and what torch.compile and torch.export need to know.

Operators mutate nothing and know no gradients; `_functions` joins forward and backward. A norm is (weight, bias, mean,
var, eps, act), in evaluation as in training, and a squeeze-excite (reduce_weight, reduce_bias, expand_weight,
expand_bias, act). Operators take their items one after the other, since schemas have no tuples; compiled functions take
them as tuples, then where they run, check everything and make the results.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, library
from torch._C import _get_tracing_state, _len_torch_dispatch_stack, _len_torch_function_stack
from torch._C._autograd import _profiler_enabled
from torch._C._functorch import peek_interpreter_stack

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
        or _len_torch_dispatch_stack() > 0
        or _len_torch_function_stack() > 0
        or peek_interpreter_stack() is not None
        or _get_tracing_state() is not None
        or _profiler_enabled()
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


def _moments(y: Tensor) -> tuple[Tensor, Tensor]:
    return _native.depthwise_moments(y, where(y))


def _moments_fake(y: Tensor) -> tuple[Tensor, Tensor]:
    channels = y.shape[1]
    return empty_vector(y, channels), empty_vector(y, channels)


moments = _register("moments(Tensor y) -> (Tensor, Tensor)", _moments, _moments_fake)


# ---- convolve: a depthwise convolution, and the moments of its output ----


def _convolve(x: Tensor, kernel: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    return _native.depthwise_convolve(x, kernel, rest[:6], *rest[6:], where(x))


def _convolve_fake(x: Tensor, kernel: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    channels = x.shape[1]
    return convolved_map(x, kernel, *rest[-2:]), empty_vector(x, channels), empty_vector(x, channels)


convolve = _register(
    f"convolve(Tensor x, Tensor kernel, {_INPUT}, {_WINDOW}) -> (Tensor, Tensor, Tensor)",
    _convolve,
    _convolve_fake,
)


# ---- normalise: norm, activation, squeeze-excite ----


def _normalise(y: Tensor, *rest: Any) -> list[Tensor]:
    return _native.depthwise_normalise(y, rest[:6], rest[6:], where(y))


def _normalise_fake(y: Tensor, *rest: Any) -> list[Tensor]:
    """Without squeeze-excite the map alone, else the map and its state."""
    images, channels = y.shape[:2]
    reduce_weight = rest[6]
    if reduce_weight is None:
        return [torch.empty_like(y)]
    return [torch.empty_like(y), empty_vector(y, images * (2 * channels + reduce_weight.shape[0]))]


normalise = _register(
    f"normalise(Tensor y, {_NORM}, {_EXCITE}) -> Tensor[]",
    _normalise,
    _normalise_fake,
)


# ---- reduce: the gradients of a norm's weight and bias, and of squeeze-excite ----


def _reduce(d_out: Tensor, y: Tensor, *rest: Any) -> list[Tensor]:
    return _native.depthwise_reduce(d_out, y, rest[:6], rest[6], rest[7:], where(y))


def _reduce_fake(d_out: Tensor, y: Tensor, *rest: Any) -> list[Tensor]:
    """Gradients: of the norm's weight and bias; with squeeze-excite also of the pooled map, flat, and its weights."""
    images, channels = y.shape[:2]
    outputs = [torch.empty_like(vector) for vector in rest[:2]]
    if rest[7] is not None:
        outputs += [empty_vector(y, images * channels), *map(torch.empty_like, rest[7:11])]
    return outputs


reduce = _register(
    f"reduce(Tensor d_out, Tensor y, {_NORM}, Tensor? state, {_EXCITE}) -> Tensor[]",
    _reduce,
    _reduce_fake,
)


# ---- norm_gradient: the gradient of a norm's input ----


def _norm_gradient(d_out: Tensor, y: Tensor, *rest: Any) -> Tensor:
    return _native.depthwise_norm_gradient(d_out, y, rest[:6], *rest[6:], where(y))


def _norm_gradient_fake(d_out: Tensor, y: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(y)


norm_gradient = _register(
    f"norm_gradient(Tensor d_out, Tensor y, {_NORM}, Tensor d_weight, Tensor d_bias, float count) -> Tensor",
    _norm_gradient,
    _norm_gradient_fake,
)


# ---- convolve_gradient: through a norm, squeeze-excite, the convolution and the norm before them ----


def _convolve_gradient(d_out: Tensor, y: Tensor, *rest: Any) -> list[Tensor]:
    norm, gradients, before, window = rest[:6], rest[6:13], rest[13:19], rest[19:]
    return _native.depthwise_convolve_gradient(d_out, y, norm, *gradients, before, *window, where(d_out))


def _convolve_gradient_fake(*arguments: Any) -> list[Tensor]:
    """Gradients: of x and the kernel, then of the input norm's weight and bias, if there is one.

    With an input norm and in_count None, the first is that of the normalised x: a group sums the others before
    norm_gradient goes on.
    """
    x, kernel, in_weight = arguments[13:16]
    outputs = [torch.empty_like(x), torch.empty_like(kernel)]
    if in_weight is not None:
        outputs += [torch.empty_like(in_weight), torch.empty_like(in_weight)]
    return outputs


convolve_gradient = _register(
    f"convolve_gradient(Tensor d_out, Tensor y, {_NORM}, Tensor? state, Tensor? d_pooled, Tensor d_weight, "
    f"Tensor d_bias, float count, Tensor x, Tensor kernel, {_INPUT}, float? in_count, {_WINDOW}) -> Tensor[]",
    _convolve_gradient,
    _convolve_gradient_fake,
)


# ---- infer: the whole block in evaluation ----


def _infer(x: Tensor, kernel: Tensor, *rest: Any) -> Tensor:
    return _native.depthwise_infer(x, kernel, rest[:6], rest[6:12], rest[12:17], *rest[17:], where(x))


def _infer_fake(x: Tensor, kernel: Tensor, *rest: Any) -> Tensor:
    return convolved_map(x, kernel, *rest[-2:])


infer = _register(
    f"infer(Tensor x, Tensor kernel, {_INPUT}, {_NORM}, {_EXCITE}, {_WINDOW}) -> Tensor",
    _infer,
    _infer_fake,
)


def infer_at_once(x: Tensor, kernel: Tensor, *rest: Any) -> Tensor | None:
    """`infer` of tuples: (before, norm, excite, stride, padding), the first and third of which may be None.

    Half the Python of the operator. None where it has to be the operator, or where vectors have to be converted first.
    """
    if _noticed(x):
        return None
    try:
        return _native.depthwise_infer(x, kernel, *rest, where(x))
    except TypeError:
        return None
