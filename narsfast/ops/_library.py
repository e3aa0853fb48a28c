"""The kernels as torch operators: their outputs, and what torch.compile and torch.export need to know.

Operators mutate nothing and have no gradients; `_functions` joins forward and backward. The functions here take the
named tuples of `_arguments`, as the compiled functions do, which check everything and make the results. Operators take
the items of the tuples one after the other, since schemas have no tuples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

import torch
from torch import Tensor, library
from torch._C import _get_tracing_state, _len_torch_dispatch_stack, _len_torch_function_stack
from torch._C._autograd import _profiler_enabled
from torch._C._functorch import peek_interpreter_stack

from narsfast import _native

from ._arguments import (
    ExciteArgs,
    NormArgs,
    NormSums,
    WindowArgs,
    convolved_map,
    empty_vector,
    launch_context,
)

P = ParamSpec("P")
R = TypeVar("R")

_Library: Any = library.Library  # its methods have no types
_LIBRARY = _Library("narsfast", "DEF")


class _Group(NamedTuple):
    """Parameters of an operator that its function takes as one tuple."""

    make: Callable[..., Any]
    schemas: tuple[str, ...]


_NORM = _Group(
    NormArgs, ("Tensor weight", "Tensor bias", "Tensor mean", "Tensor var", "float eps", "str act")
)
_INPUT_NORM = _Group(
    NormArgs,
    (
        *("Tensor? input_weight", "Tensor? input_bias", "Tensor? input_mean", "Tensor? input_var"),
        *("float input_eps", "str input_act"),
    ),
)
_EXCITE = _Group(
    ExciteArgs,
    (
        *("Tensor? reduce_weight", "Tensor? reduce_bias", "Tensor? expand_weight", "Tensor? expand_bias"),
        *("str inner_act", "str gate"),
    ),
)
_SUMS = _Group(NormSums, ("Tensor d_weight", "Tensor d_bias", "float num_values"))
_WINDOW = _Group(
    WindowArgs, ("int stride", "SymInt top", "SymInt bottom", "SymInt left", "SymInt right")
)  # "same" padding depends on the map


def _register(
    name: str,
    parameters: Sequence[str | _Group],
    returns: str,
    run: Callable[P, R],
    fake: Callable[P, R],
) -> Callable[P, R]:
    """Define an operator.

    Args:
        name: Its name in `torch.ops.narsfast`.
        parameters: The schema of each parameter of `run`, the map first.
        returns: The schema of the results.
        run: Calls the kernel, on the CPU or on CUDA.
        fake: Returns empty results of the same shapes, strides and dtypes.

    Returns:
        `run`, by torch's dispatcher wherever that can make a difference.
    """
    schemas = [
        part for item in parameters for part in (item.schemas if isinstance(item, _Group) else (item,))
    ]
    name = _LIBRARY.define(f"{name}({', '.join(schemas)}) -> {returns}")
    flat_run = _from_items(parameters, run)
    _LIBRARY.impl(name, flat_run, "CPU")
    if _native.cuda_built():
        _LIBRARY.impl(name, _on_map_device(flat_run), "CUDA")
    library.register_fake(f"narsfast::{name}", _from_items(parameters, fake), lib=_LIBRARY)
    operator = getattr(torch.ops.narsfast, name).default
    direct: Callable[..., Any] = run
    widths = [len(item.schemas) if isinstance(item, _Group) else 0 for item in parameters]

    def call(*arguments: Any) -> Any:
        if not _needs_dispatcher(arguments[0]):
            return direct(*arguments)
        items: list[Any] = []
        for index, argument in enumerate(arguments):
            width = widths[index]
            items.extend(argument[:width] if width else (argument,))
        return operator(*items)

    return cast("Callable[P, R]", call)


def _from_items(parameters: Sequence[str | _Group], run: Callable[..., Any]) -> Callable[..., Any]:
    """Return `run` as a function of the items of its tuples, one after the other."""

    def flat(*items: Any) -> Any:
        left = iter(items)
        return run(
            *(
                item.make(*(next(left) for _ in item.schemas)) if isinstance(item, _Group) else next(left)
                for item in parameters
            )
        )

    return flat


def _needs_dispatcher(x: Any) -> bool:
    """Return whether a call with the map x must go through the dispatcher.

    That is so where anything but the CPU's kernels may answer, or something observes the call. For twenty arguments the
    dispatcher takes longer than all other work around a small map.
    """
    return (
        torch.compiler.is_dynamo_compiling()
        or type(x) is not Tensor
        or not x.is_cpu
        or _len_torch_dispatch_stack() > 0
        or _len_torch_function_stack() > 0
        or peek_interpreter_stack() is not None
        or _get_tracing_state() is not None
        or _profiler_enabled()
    )


def _on_map_device(run: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(x: Tensor, *rest: Any) -> Any:
        for other in rest:
            # Kernels get addresses: one on another device would make the process's CUDA context unusable.
            if isinstance(other, Tensor) and other.device != x.device:
                raise ValueError(
                    f"all tensors must be on {x.device}, where the map is, but one is on {other.device}"
                )
        with torch.cuda.device(x.device):
            return run(x, *rest)

    return guarded


# ---- moments: mean and biased variance of every channel ----


def _moments(y: Tensor) -> tuple[Tensor, Tensor]:
    return _native.depthwise_moments(y, launch_context(y))


def _moments_fake(y: Tensor) -> tuple[Tensor, Tensor]:
    channels = y.shape[1]
    return empty_vector(y, channels), empty_vector(y, channels)


moments = _register("moments", ["Tensor y"], "(Tensor, Tensor)", _moments, _moments_fake)


# ---- convolve: a depthwise convolution, and the moments of its output ----


def _convolve(
    x: Tensor, kernel: Tensor, input_norm: NormArgs, window: WindowArgs
) -> tuple[Tensor, Tensor, Tensor]:
    return _native.depthwise_convolve(x, kernel, input_norm, window, launch_context(x))


def _convolve_fake(
    x: Tensor, kernel: Tensor, input_norm: NormArgs, window: WindowArgs
) -> tuple[Tensor, Tensor, Tensor]:
    channels = x.shape[1]
    return convolved_map(x, kernel, window), empty_vector(x, channels), empty_vector(x, channels)


convolve = _register(
    "convolve",
    ["Tensor x", "Tensor kernel", _INPUT_NORM, _WINDOW],
    "(Tensor, Tensor, Tensor)",
    _convolve,
    _convolve_fake,
)


# ---- normalize: norm, activation, squeeze-excite ----


def _normalize(y: Tensor, norm: NormArgs, excite: ExciteArgs) -> list[Tensor]:
    return _native.depthwise_normalize(y, norm, excite, launch_context(y))


def _normalize_fake(y: Tensor, norm: NormArgs, excite: ExciteArgs) -> list[Tensor]:
    """Return the map; with squeeze-excite also the state for its gradient."""
    images, channels = y.shape[:2]
    if excite.reduce_weight is None:
        return [torch.empty_like(y)]
    return [torch.empty_like(y), empty_vector(y, images * (2 * channels + excite.reduce_weight.shape[0]))]


normalize = _register("normalize", ["Tensor y", _NORM, _EXCITE], "Tensor[]", _normalize, _normalize_fake)


# ---- reduce: the gradients of a norm's weight and bias, and of squeeze-excite ----


def _reduce(
    d_out: Tensor, y: Tensor, norm: NormArgs, state: Tensor | None, excite: ExciteArgs
) -> list[Tensor]:
    return _native.depthwise_reduce(d_out, y, norm, state, excite, launch_context(y))


def _reduce_fake(
    d_out: Tensor, y: Tensor, norm: NormArgs, state: Tensor | None, excite: ExciteArgs
) -> list[Tensor]:
    """Return gradients: of the norm's weight and bias; with squeeze-excite of the pooled map, flat, and its weights."""
    images, channels = y.shape[:2]
    outputs = [empty_vector(y, channels), empty_vector(y, channels)]
    if excite.reduce_weight is not None:
        weights = [torch.empty_like(weight) for weight in excite[:4] if weight is not None]
        outputs += [empty_vector(y, images * channels), *weights]
    return outputs


reduce = _register(
    "reduce",
    ["Tensor d_out", "Tensor y", _NORM, "Tensor? state", _EXCITE],
    "Tensor[]",
    _reduce,
    _reduce_fake,
)


# ---- norm_gradient: the gradient of a norm's input ----


def _norm_gradient(d_out: Tensor, y: Tensor, norm: NormArgs, sums: NormSums) -> Tensor:
    return _native.depthwise_norm_gradient(d_out, y, norm, sums, launch_context(y))


def _norm_gradient_fake(d_out: Tensor, y: Tensor, norm: NormArgs, sums: NormSums) -> Tensor:
    return torch.empty_like(y)


norm_gradient = _register(
    "norm_gradient",
    ["Tensor d_out", "Tensor y", _NORM, _SUMS],
    "Tensor",
    _norm_gradient,
    _norm_gradient_fake,
)


# ---- convolve_gradient: through a norm, squeeze-excite, the convolution and the norm before it ----


def _convolve_gradient(
    d_out: Tensor,
    y: Tensor,
    norm: NormArgs,
    state: Tensor | None,
    d_pooled: Tensor | None,
    gate: str,
    sums: NormSums,
    x: Tensor,
    kernel: Tensor,
    input_norm: NormArgs,
    input_count: float | None,
    window: WindowArgs,
) -> list[Tensor]:
    return _native.depthwise_convolve_gradient(
        *(d_out, y, norm, state, d_pooled, gate, sums, x, kernel, input_norm, input_count, window),
        launch_context(d_out),
    )


def _convolve_gradient_fake(
    d_out: Tensor,
    y: Tensor,
    norm: NormArgs,
    state: Tensor | None,
    d_pooled: Tensor | None,
    gate: str,
    sums: NormSums,
    x: Tensor,
    kernel: Tensor,
    input_norm: NormArgs,
    input_count: float | None,
    window: WindowArgs,
) -> list[Tensor]:
    """Return gradients: of x and the kernel, and with an input norm of its weight and bias.

    With an input norm and without `input_count`, the first is the gradient of the normalized x: a group sums the others
    before norm_gradient continues.
    """
    outputs = [torch.empty_like(x), torch.empty_like(kernel)]
    if input_norm.weight is not None:
        outputs += [torch.empty_like(input_norm.weight), torch.empty_like(input_norm.weight)]
    return outputs


convolve_gradient = _register(
    "convolve_gradient",
    [
        *("Tensor d_out", "Tensor y", _NORM, "Tensor? state", "Tensor? d_pooled", "str gate", _SUMS),
        *("Tensor x", "Tensor kernel", _INPUT_NORM, "float? input_count", _WINDOW),
    ],
    "Tensor[]",
    _convolve_gradient,
    _convolve_gradient_fake,
)


# ---- infer: the whole block in evaluation ----


def _infer(
    x: Tensor, kernel: Tensor, input_norm: NormArgs, norm: NormArgs, excite: ExciteArgs, window: WindowArgs
) -> Tensor:
    return _native.depthwise_infer(x, kernel, input_norm, norm, excite, window, launch_context(x))


def _infer_fake(
    x: Tensor, kernel: Tensor, input_norm: NormArgs, norm: NormArgs, excite: ExciteArgs, window: WindowArgs
) -> Tensor:
    return convolved_map(x, kernel, window)


infer = _register(
    "infer",
    ["Tensor x", "Tensor kernel", _INPUT_NORM, _NORM, _EXCITE, _WINDOW],
    "Tensor",
    _infer,
    _infer_fake,
)


def infer_directly(
    x: Tensor,
    kernel: Tensor,
    input_norm: NormArgs | None,
    norm: NormArgs,
    excite: ExciteArgs | None,
    window: WindowArgs,
) -> Tensor | None:
    """Run `infer` without the preparations of the operator, in half of its Python time.

    Returns:
        None where the dispatcher is needed, or where vectors have to be converted first.
    """
    if _needs_dispatcher(x):
        return None
    try:
        return _native.depthwise_infer(x, kernel, input_norm, norm, excite, window, launch_context(x))
    except TypeError:
        return None
