"""The kernels as torch operators: their outputs, and what torch.compile and torch.export need to know.

Operators mutate nothing and know no gradients; `_functions` joins forward and backward. `_arguments` says how tensors
must lie. A norm is (weight, bias, mean, var, eps, act), in evaluation as in training.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, library

from narsfast import _native

from ._arguments import Vectors, empty_map, empty_vector, map_address, out_size, shape, where, window

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
    mean, var = _moments_outputs(y)
    _native.depthwise_moments(
        Vectors(y).dtype, shape(y), map_address("y", y), mean.data_ptr(), var.data_ptr(), where(y)
    )
    return mean, var


moments = _register("moments(Tensor y) -> (Tensor, Tensor)", _moments, _moments_outputs)


# ---- convolve: a depthwise convolution, and the moments of its output ----


def _convolve_outputs(x: Tensor, kernel: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    stride, padding = rest[-2:]
    size, channels = kernel.shape[-1], x.shape[1]
    return (
        empty_map(
            x, out_size(x.shape[2], size, stride, padding), out_size(x.shape[3], size, stride, padding)
        ),
        empty_vector(x, channels),
        empty_vector(x, channels),
    )


def _convolve(
    x: Tensor,
    kernel: Tensor,
    in_weight: Tensor | None,
    in_bias: Tensor | None,
    in_mean: Tensor | None,
    in_var: Tensor | None,
    in_eps: float,
    in_act: str,
    stride: int,
    padding: int,
) -> tuple[Tensor, Tensor, Tensor]:
    vectors = Vectors(x)
    y, mean, var = _convolve_outputs(x, kernel, stride, padding)
    _native.depthwise_convolve(
        vectors.dtype,
        window(x, kernel, stride, padding),
        map_address("x", x),
        vectors.norm(in_weight, in_bias, in_mean, in_var, in_eps, in_act),
        vectors.address("kernel", kernel),
        y.data_ptr(),
        mean.data_ptr(),
        var.data_ptr(),
        where(x),
    )
    return y, mean, var


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


def _state(state: Tensor | None, like: Tensor, vectors: Vectors) -> tuple[int, int, int]:
    """Addresses of what squeeze-excite keeps of its forward: pooled, hidden, gate, one after the other."""
    if state is None or not state.numel():
        return 0, 0, 0
    pooled = vectors.address("state", state)
    size = state.element_size() * like.shape[0] * like.shape[1]
    return pooled, pooled + size, pooled + state.element_size() * state.numel() - size


def _normalise(
    y: Tensor,
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    var: Tensor,
    eps: float,
    act: str,
    reduce_weight: Tensor | None,
    reduce_bias: Tensor | None,
    expand_weight: Tensor | None,
    expand_bias: Tensor | None,
    inner_act: str,
) -> list[Tensor]:
    vectors = Vectors(y)
    address = map_address("y", y)
    outputs = _normalise_outputs(y, weight, bias, mean, var, eps, act, reduce_weight)
    _native.depthwise_normalise(
        vectors.dtype,
        shape(y),
        address,
        vectors.norm(weight, bias, mean, var, eps, act),
        vectors.excite(reduce_weight, reduce_bias, expand_weight, expand_bias, inner_act),
        outputs[0].data_ptr(),
        _state(outputs[1] if reduce_weight is not None else None, y, vectors),
        where(y),
    )
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


def _reduce(
    d_out: Tensor,
    y: Tensor,
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    var: Tensor,
    eps: float,
    act: str,
    state: Tensor | None,
    reduce_weight: Tensor | None,
    reduce_bias: Tensor | None,
    expand_weight: Tensor | None,
    expand_bias: Tensor | None,
    inner_act: str,
) -> list[Tensor]:
    vectors = Vectors(y)
    gates = reduce_weight, reduce_bias, expand_weight, expand_bias
    outputs = _reduce_outputs(d_out, y, weight, bias, mean, var, eps, act, state, *gates)
    _native.depthwise_reduce(
        vectors.dtype,
        shape(y),
        map_address("y", y),
        map_address("d_out", d_out),
        vectors.norm(weight, bias, mean, var, eps, act),
        vectors.excite(reduce_weight, reduce_bias, expand_weight, expand_bias, inner_act),
        _state(state, y, vectors),
        [output.data_ptr() for output in outputs],
        where(y),
    )
    return outputs


reduce = _register(
    f"reduce(Tensor d_out, Tensor y, {_NORM}, Tensor? state, {_EXCITE}) -> Tensor[]",
    _reduce,
    _reduce_outputs,
)


# ---- norm_gradient: the gradient of a norm's input ----


def _norm_gradient_outputs(d_out: Tensor, y: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(y)


def _norm_gradient(
    d_out: Tensor,
    y: Tensor,
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    var: Tensor,
    eps: float,
    act: str,
    d_weight: Tensor,
    d_bias: Tensor,
    count: float,
) -> Tensor:
    vectors = Vectors(y)
    d_y = _norm_gradient_outputs(d_out, y)
    _native.depthwise_norm_gradient(
        vectors.dtype,
        shape(y),
        (
            map_address("y", y),
            map_address("d_out", d_out),
            0,
            0,
            vectors.address("d_weight", d_weight),
            vectors.address("d_bias", d_bias),
            count,
        ),
        vectors.norm(weight, bias, mean, var, eps, act),
        d_y.data_ptr(),
        where(y),
    )
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


def _convolve_gradient(
    d_out: Tensor,
    y: Tensor,
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    var: Tensor,
    eps: float,
    act: str,
    state: Tensor | None,
    d_pooled: Tensor | None,
    d_weight: Tensor,
    d_bias: Tensor,
    count: float,
    x: Tensor,
    kernel: Tensor,
    in_weight: Tensor | None,
    in_bias: Tensor | None,
    in_mean: Tensor | None,
    in_var: Tensor | None,
    in_eps: float,
    in_act: str,
    in_count: float | None,
    stride: int,
    padding: int,
) -> list[Tensor]:
    vectors = Vectors(x)
    outputs = _convolve_gradient_outputs(*[None] * 13, x, kernel, in_weight)
    x_address, place = map_address("x", x), where(x)
    addresses = [output.data_ptr() for output in outputs]
    _native.depthwise_convolve_gradient(
        vectors.dtype,
        window(x, kernel, stride, padding),
        (
            map_address("y", y),
            map_address("d_out", d_out),
            _state(state, y, vectors)[2],
            vectors.address("d_pooled", d_pooled),
            vectors.address("d_weight", d_weight),
            vectors.address("d_bias", d_bias),
            count,
        ),
        vectors.norm(weight, bias, mean, var, eps, act),
        x_address,
        vectors.norm(in_weight, in_bias, in_mean, in_var, in_eps, in_act),
        vectors.address("kernel", kernel),
        addresses,
        place,
    )
    if in_weight is not None and in_count is not None:
        d_x, _, d_in_weight, d_in_bias = addresses
        _native.depthwise_norm_gradient(
            vectors.dtype,
            shape(x),
            (x_address, d_x, 0, 0, d_in_weight, d_in_bias, in_count),
            vectors.norm(in_weight, in_bias, in_mean, in_var, in_eps, "none"),
            d_x,
            place,
        )
    return outputs


convolve_gradient = _register(
    f"convolve_gradient(Tensor d_out, Tensor y, {_NORM}, Tensor? state, Tensor? d_pooled, Tensor d_weight, "
    f"Tensor d_bias, float count, Tensor x, Tensor kernel, {_INPUT}, float? in_count, {_WINDOW}) -> Tensor[]",
    _convolve_gradient,
    _convolve_gradient_outputs,
)


# ---- infer: the whole block in evaluation ----


def _infer_outputs(x: Tensor, kernel: Tensor, *rest: Any) -> Tensor:
    stride, padding = rest[-2:]
    size = kernel.shape[-1]
    return empty_map(
        x, out_size(x.shape[2], size, stride, padding), out_size(x.shape[3], size, stride, padding)
    )


def _infer(
    x: Tensor,
    kernel: Tensor,
    in_weight: Tensor | None,
    in_bias: Tensor | None,
    in_mean: Tensor | None,
    in_var: Tensor | None,
    in_eps: float,
    in_act: str,
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    var: Tensor,
    eps: float,
    act: str,
    reduce_weight: Tensor | None,
    reduce_bias: Tensor | None,
    expand_weight: Tensor | None,
    expand_bias: Tensor | None,
    inner_act: str,
    stride: int,
    padding: int,
) -> Tensor:
    vectors = Vectors(x)
    out = _infer_outputs(x, kernel, stride, padding)
    _native.depthwise_infer(
        vectors.dtype,
        window(x, kernel, stride, padding),
        map_address("x", x),
        vectors.norm(in_weight, in_bias, in_mean, in_var, in_eps, in_act),
        vectors.address("kernel", kernel),
        vectors.norm(weight, bias, mean, var, eps, act),
        vectors.excite(reduce_weight, reduce_bias, expand_weight, expand_bias, inner_act),
        out.data_ptr(),
        where(x),
    )
    return out


infer = _register(
    f"infer(Tensor x, Tensor kernel, {_INPUT}, {_NORM}, {_EXCITE}, {_WINDOW}) -> Tensor",
    _infer,
    _infer_outputs,
)
