"""The differentiable block: norms with batch statistics around a depthwise convolution, with squeeze-excite.

Both directions are split at the batch statistics, which a process group may combine over its members. Only the maps
before the norms are saved for the backward; activations are computed again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed
from torch.autograd import Function

from ._arguments import ExciteArgs, NormArgs, NormSums, WindowArgs, vector_dtype
from ._library import (
    convolve,
    convolve_gradient,
    infer,
    infer_directly,
    moments,
    norm_gradient,
    normalize,
    reduce,
)

_NO_NORM = NormArgs(None, None, None, None, 0.0, "none")
_NO_EXCITE = ExciteArgs(None, None, None, None, "none")


class BatchStatistics(NamedTuple):
    """Batch statistics (channels,): what a norm's running statistics move toward."""

    mean: Tensor
    unbiased_var: Tensor


class _Moments(NamedTuple):
    """Mean and biased variance (channels,) of `num_values` values each; 0: they are constants."""

    mean: Tensor
    var: Tensor
    num_values: float

    def statistics(self) -> tuple[Tensor, Tensor] | tuple[None, None]:
        if not self.num_values:
            return None, None
        return self.mean, self.var * (self.num_values / (self.num_values - 1))


class _NormSettings(NamedTuple):
    """The fields of NormArgs that are not tensors."""

    eps: float
    act: str
    group: Any


class _BlockSettings(NamedTuple):
    """The arguments of the block that are not tensors."""

    input_norm: _NormSettings
    norm: _NormSettings
    inner_act: str
    gate: str
    window: WindowArgs


def _all_moments(found: Sequence[Tensor], x: Tensor, group: Any) -> _Moments:
    """Return the moments of the map x, combined with those of the other members of a group."""
    mean, var = found
    count = x.shape[0] * x.shape[2] * x.shape[3]
    if group is not None:
        total = torch.tensor([count], device=mean.device)
        distributed.all_reduce(total, group=group)
        total_count = int(total)
        share = count / max(total_count, 1)
        joint = mean * share
        distributed.all_reduce(joint, group=group)
        var = share * (var + (mean - joint) ** 2)
        distributed.all_reduce(var, group=group)
        mean, count = joint, total_count
    if count == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {x.shape}")
    return _Moments(mean, var, count)


def _all_sums(group: Any, own: NormSums) -> NormSums:
    """Return the gradients of a norm summed over the members of a group; `own` stays as it is."""
    if group is None or not own.num_values:
        return own
    sums = NormSums(own.d_weight.clone(), own.d_bias.clone(), own.num_values)
    distributed.all_reduce(sums.d_weight, group=group)
    distributed.all_reduce(sums.d_bias, group=group)
    return sums


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _refuse_second_derivative() -> None:
    # create_graph=True runs the backward with gradients on.
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():
        raise RuntimeError(
            "the fused ops cannot be differentiated twice; build the network with ops='torch' for create_graph=True"
        )


class _NormAct(Function):
    @staticmethod
    def forward(
        ctx: Any,
        y: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor | None,
        var: Tensor | None,
        settings: _NormSettings,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        group = settings.group
        batch = _all_moments(moments(y), y, group) if mean is None or var is None else _Moments(mean, var, 0)
        norm = NormArgs(weight, bias, batch.mean, batch.var, *settings)
        out = normalize(y, norm, _NO_EXCITE)[0]
        ctx.save_for_backward(y, weight, bias, batch.mean, batch.var)
        ctx.settings, ctx.count = settings, batch.num_values
        ctx.set_materialize_grads(False)
        used = batch.statistics()
        ctx.mark_non_differentiable(*(tensor for tensor in used if tensor is not None))
        return out, *used

    @staticmethod
    def backward(ctx: Any, d_out: Tensor | None, *_: Any) -> Any:
        _refuse_second_derivative()
        if d_out is None:
            return (None,) * 6
        y, *vectors = ctx.saved_tensors
        norm = _norm_args(vectors, ctx.settings)
        d_out = _channels_last(d_out)
        d_weight, d_bias = reduce(d_out, y, norm, None, _NO_EXCITE)
        sums = _all_sums(norm.group, NormSums(d_weight, d_bias, ctx.count))
        return norm_gradient(d_out, y, norm, sums), d_weight, d_bias, None, None, None


class _DepthwiseSE(Function):
    """[norm + activation] + depthwise convolution + norm + activation [+ squeeze-excite]."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, kernel: Tensor, settings: _BlockSettings, *vectors: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
        """`vectors`: the tensors of the input norm, the norm and the squeeze-excite."""
        input_norm, norm, excite = _grouped(vectors, settings)
        input_count: float = 0
        input_used: tuple[Tensor | None, Tensor | None] = None, None
        if input_norm.weight is not None and input_norm.mean is None:
            input_batch = _all_moments(moments(x), x, input_norm.group)
            input_norm = _with_moments(input_norm, input_batch)
            input_count = input_batch.num_values
            input_used = input_batch.statistics()
        y, *found = convolve(x, kernel, input_norm, settings.window)
        count: float = 0
        used: tuple[Tensor | None, Tensor | None] = None, None
        if norm.mean is None:
            batch = _all_moments(found, y, norm.group)
            norm = _with_moments(norm, batch)
            count = batch.num_values
            used = batch.statistics()
        out, *state = normalize(y, norm, excite)
        saved = (*input_norm[:4], *norm[:4], *excite[:4])
        ctx.save_for_backward(x, kernel, y, state[0] if state else None, *saved)
        ctx.settings, ctx.counts = settings, (input_count, count)
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*(tensor for tensor in (*input_used, *used) if tensor is not None))
        return out, *input_used, *used

    @staticmethod
    def backward(ctx: Any, d_out: Tensor | None, *_: Any) -> Any:
        _refuse_second_derivative()
        if d_out is None:
            return (None,) * 15
        x, kernel, y, state, *vectors = ctx.saved_tensors
        input_norm, norm, excite = _grouped(vectors, ctx.settings)
        input_count, count = ctx.counts
        window = ctx.settings.window
        d_out = _channels_last(d_out)
        d_weight, d_bias, *gates = reduce(d_out, y, norm, state, excite)
        d_pooled, *d_excite = gates or (None,) * 5
        sums = _all_sums(norm.group, NormSums(d_weight, d_bias, count))
        shared = input_norm.group is not None and input_count > 0
        d_x, d_kernel, *d_input = convolve_gradient(
            *(d_out, y, norm, state, d_pooled, excite.gate, sums, x, kernel),
            *(input_norm, None if shared else input_count, window),
        )
        d_input_weight, d_input_bias = d_input or (None, None)
        if shared:
            input_sums = _all_sums(input_norm.group, NormSums(d_input[0], d_input[1], input_count))
            # d_x is already the gradient before the activation.
            linear = NormArgs(*input_norm[:5], "none")
            d_x = norm_gradient(d_x, x, linear, input_sums)
        return (
            *(d_x, d_kernel, None),
            *(d_input_weight, d_input_bias, None, None),
            *(d_weight, d_bias, None, None),
            *d_excite,
        )


def _norm_args(vectors: Sequence[Tensor | None], settings: _NormSettings) -> NormArgs:
    weight, bias, mean, var = vectors
    return NormArgs(weight, bias, mean, var, *settings)


def _grouped(
    vectors: Sequence[Tensor | None], settings: _BlockSettings
) -> tuple[NormArgs, NormArgs, ExciteArgs]:
    """Return the arguments of the kernels from the block's tensors and settings."""
    reduce_weight, reduce_bias, expand_weight, expand_bias = vectors[8:]
    return (
        _norm_args(vectors[:4], settings.input_norm),
        _norm_args(vectors[4:8], settings.norm),
        ExciteArgs(reduce_weight, reduce_bias, expand_weight, expand_bias, settings.inner_act, settings.gate),
    )


def _with_moments(norm: NormArgs, batch: _Moments) -> NormArgs:
    return NormArgs(norm.weight, norm.bias, batch.mean, batch.var, norm.eps, norm.act, norm.group)


def _vectors(dtype: torch.dtype, *tensors: Tensor | None) -> list[Tensor | None]:
    """Convert tensors to the dtype that goes with maps of `dtype`."""
    expected = vector_dtype(dtype)
    return [t if t is None or t.dtype is expected else t.to(expected) for t in tensors]


def _statistics(mean: Tensor | None, unbiased_var: Tensor | None) -> BatchStatistics | None:
    if mean is None or unbiased_var is None or not mean.numel():
        return None
    return BatchStatistics(mean, unbiased_var)


def norm_act(y: Tensor, norm: NormArgs) -> tuple[Tensor, BatchStatistics | None]:
    """Apply a batch norm and its activation to a map, in one pass over it.

    Args:
        y: (n, c, h, w), channels_last.
        norm: The batch norm; without mean and var the batch's are used.

    Returns:
        The map, and the batch statistics that were used, if any.
    """
    vectors = _vectors(y.dtype, *norm[:4])
    out, *used = _NormAct.apply(y, *vectors, _NormSettings(norm.eps, norm.act, norm.group))
    return out, _statistics(*used)


def depthwise_se(
    x: Tensor,
    kernel: Tensor,
    norm: NormArgs,
    window: WindowArgs,
    excite: ExciteArgs | None = None,
    input_norm: NormArgs | None = None,
) -> tuple[Tensor, BatchStatistics | None, BatchStatistics | None]:
    """Apply a depthwise convolution, batch norm, activation and squeeze-excite.

    Args:
        x: (n, c, h, w), channels_last.
        kernel: (c, 1, k, k), k = 3, 5 or 7.
        norm: Of the convolution's output; without mean and var the batch's are used.
        window: Stride 1 or 2, and zeros around the map.
        excite: None leaves squeeze-excite out.
        input_norm: A norm and activation applied to x first.

    Returns:
        (n, c, h', w') channels_last, and the batch statistics that `input_norm` and `norm` used; None where they used
        none.
    """
    constant = norm.mean is not None and (input_norm is None or input_norm.mean is not None)
    evaluated = constant and not torch.is_grad_enabled()
    if evaluated and (found := infer_directly(x, kernel, input_norm, norm, excite, window)) is not None:
        return found, None, None
    input_norm, excite = input_norm or _NO_NORM, excite or _NO_EXCITE
    kernel = kernel if kernel.dtype is vector_dtype(x.dtype) else kernel.to(vector_dtype(x.dtype))
    vectors = _vectors(x.dtype, *input_norm[:4], *norm[:4], *excite[:4])
    settings = _BlockSettings(
        _NormSettings(input_norm.eps, input_norm.act, input_norm.group),
        _NormSettings(norm.eps, norm.act, norm.group),
        excite.act,
        excite.gate,
        window,
    )
    if evaluated:
        return infer(x, kernel, *_grouped(vectors, settings), window), None, None
    out, *used = _DepthwiseSE.apply(x, kernel, settings, *vectors)
    return out, _statistics(*used[:2]), _statistics(*used[2:])
