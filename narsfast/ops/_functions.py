"""The differentiable block: norms with batch statistics around a depthwise convolution, with squeeze-excite.

Both directions are split at the batch statistics, where a process group may sum them over its members. Saved for the
backward are only the maps before the norms; activations are computed again.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, distributed
from torch.autograd import Function

from ._library import vector_dtype

_OPS = torch.ops.narsfast


class Norm(NamedTuple):
    """A batch norm as data.

    `mean` and `var` (channels,) are used as they are; None: those of the batch are taken.
    """

    weight: Tensor
    bias: Tensor
    mean: Tensor | None
    var: Tensor | None
    eps: float
    act: str
    group: Any = None
    """The torch.distributed process group that shares batch statistics; None: this process alone."""


class Excite(NamedTuple):
    """The weights of a squeeze-excite: (squeezed, channels), (squeezed,), (channels, squeezed), (channels,)."""

    reduce_weight: Tensor
    reduce_bias: Tensor
    expand_weight: Tensor
    expand_bias: Tensor
    act: str


class Statistics(NamedTuple):
    """Batch statistics (channels,): what a norm's buffers move towards."""

    mean: Tensor
    unbiased_var: Tensor


class _Batch(NamedTuple):
    """Mean and sum of squared deviations (channels,) of so many values; a number of 0: m2 is the variance itself."""

    mean: Tensor
    m2: Tensor
    number: float

    @property
    def var(self) -> Tensor:
        return self.m2 / self.number if self.number else self.m2

    @property
    def unbiased_var(self) -> Tensor:
        return self.m2 / (self.number - 1) if self.number else self.m2


def _gather(mean: Tensor, m2: Tensor, count: int, group: Any) -> _Batch:
    """Joins the statistics of the members of a group (of equal or different counts)."""
    if group is None:
        return _Batch(mean, m2, count)
    total = mean.new_tensor([count])
    distributed.all_reduce(total, group=group)
    joint = mean * (count / total)
    distributed.all_reduce(joint, group=group)
    deviations = m2 + count * (mean - joint) ** 2
    distributed.all_reduce(deviations, group=group)
    return _Batch(joint, deviations, float(total))


def _sum_over(group: Any, *tensors: Tensor) -> None:
    if group is not None:
        for tensor in tensors:
            distributed.all_reduce(tensor, group=group)


class _Affine(NamedTuple):
    """A norm with its statistics: z = scale * y + shift."""

    scale: Tensor
    shift: Tensor
    mean: Tensor
    inverse: Tensor  # 1 / sqrt(var + eps)


def _affine(weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, eps: float) -> _Affine:
    inverse = torch.rsqrt(var + eps)
    scale = weight * inverse
    return _Affine(scale, bias - mean * scale, mean, inverse)


class _Slopes(NamedTuple):
    """d_y = by_z * d_z + by_y * y + constant."""

    by_z: Tensor
    by_y: Tensor
    constant: Tensor


def _slopes(affine: _Affine, d_sum: Tensor, d_y_sum: Tensor, count: float) -> _Slopes:
    """From the sums of d_z and d_z * (y - mean) over `count` values; 0: the statistics are constants."""
    if not count:
        zero = torch.zeros_like(affine.scale)
        return _Slopes(affine.scale, zero, zero)
    by_y = affine.scale * d_y_sum * affine.inverse.square() / -count
    return _Slopes(affine.scale, by_y, affine.scale * d_sum / -count - by_y * affine.mean)


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _refuse_second_derivative() -> None:
    # create_graph=True runs the backward with gradients on.
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():
        raise RuntimeError(
            "the fused ops cannot be differentiated twice; build the network with ops='torch' for create_graph=True"
        )


def _values_per_channel(y: Tensor) -> int:
    count = y.shape[0] * y.shape[2] * y.shape[3]
    if count == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {y.shape}")
    return count


class _NormAct(Function):
    @staticmethod
    def forward(
        ctx: Any,
        y: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor | None,
        var: Tensor | None,
        eps: float,
        act: str,
        group: Any,
    ) -> tuple[Tensor, Tensor, Tensor]:
        if mean is None or var is None:
            mean, m2 = _OPS.moments(y)
            stats = _gather(mean, m2, _values_per_channel(y), group)
        else:
            stats = _Batch(mean, var, 0)
        ctx.count = stats.number
        affine = _affine(weight, bias, stats.mean, stats.var, eps)
        out = _OPS.normalise(y, affine.scale, affine.shift, act, None, None, None, None, "none")[0]
        ctx.save_for_backward(y, *affine)
        ctx.act, ctx.group = act, group
        used = Statistics(stats.mean.clone(), stats.unbiased_var)
        ctx.mark_non_differentiable(*used)
        return out, *used

    @staticmethod
    def backward(ctx: Any, d_out: Tensor, *_: Any) -> Any:
        _refuse_second_derivative()
        y, *saved = ctx.saved_tensors
        affine = _Affine(*saved)
        d_out = _channels_last(d_out)
        d_sum, d_y_sum = _OPS.reduce(
            d_out,
            y,
            affine.scale,
            affine.shift,
            ctx.act,
            affine.mean,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            "none",
        )[:2]
        d_weight, d_bias = d_y_sum * affine.inverse, d_sum.clone()
        _sum_over(ctx.group if ctx.count else None, d_sum, d_y_sum)
        slopes = _slopes(affine, d_sum, d_y_sum, ctx.count)
        d_y = _OPS.norm_gradient(d_out, y, affine.scale, affine.shift, ctx.act, None, None, *slopes)
        return d_y, d_weight, d_bias, None, None, None, None, None


class _DepthwiseSE(Function):
    """[norm + activation] + depthwise convolution + norm + activation [+ squeeze-excite]."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        in_weight: Tensor | None,
        in_bias: Tensor | None,
        in_mean: Tensor | None,
        in_var: Tensor | None,
        in_eps: float,
        in_act: str,
        in_group: Any,
        kernel: Tensor,
        stride: int,
        padding: int,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor | None,
        var: Tensor | None,
        eps: float,
        act: str,
        group: Any,
        reduce_weight: Tensor | None,
        reduce_bias: Tensor | None,
        expand_weight: Tensor | None,
        expand_bias: Tensor | None,
        inner_act: str,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        none = kernel.new_empty(0)
        first = _Affine(none, none, none, none)
        in_stats = _Batch(none, none, 0)
        if in_weight is not None and in_bias is not None:
            if in_mean is None or in_var is None:
                x_mean, x_m2 = _OPS.moments(x)
                in_stats = _gather(x_mean, x_m2, _values_per_channel(x), in_group)
            else:
                in_stats = _Batch(in_mean, in_var, 0)
            first = _affine(in_weight, in_bias, in_stats.mean, in_stats.var, in_eps)
        ctx.in_count = in_stats.number
        ctx.prologue = in_weight is not None
        y, y_mean, y_m2 = _OPS.convolve(
            x,
            kernel,
            first.scale if ctx.prologue else None,
            first.shift if ctx.prologue else None,
            in_act,
            stride,
            padding,
        )
        if mean is None or var is None:
            stats = _gather(y_mean, y_m2, _values_per_channel(y), group)
        else:
            stats = _Batch(mean, var, 0)
        ctx.count = stats.number
        affine = _affine(weight, bias, stats.mean, stats.var, eps)
        out, pooled, hidden, gate = _OPS.normalise(
            y,
            affine.scale,
            affine.shift,
            act,
            reduce_weight,
            reduce_bias,
            expand_weight,
            expand_bias,
            inner_act,
        )
        ctx.gated = reduce_weight is not None
        excite = (reduce_weight, reduce_bias, expand_weight, expand_bias) if ctx.gated else ()
        ctx.save_for_backward(x, y, kernel, *first, *affine, pooled, hidden, gate, *excite)
        ctx.acts = in_act, act, inner_act
        ctx.groups = in_group, group
        ctx.window = stride, padding
        used = in_stats.mean.clone(), in_stats.unbiased_var, stats.mean.clone(), stats.unbiased_var
        ctx.mark_non_differentiable(*used)
        return out, *used

    @staticmethod
    def backward(ctx: Any, d_out: Tensor, *_: Any) -> Any:
        _refuse_second_derivative()
        saved = ctx.saved_tensors
        x, y, kernel = saved[:3]
        first, affine = _Affine(*saved[3:7]), _Affine(*saved[7:11])
        pooled, hidden, gate, *excite = saved[11:]
        in_act, act, inner_act = ctx.acts
        in_group, group = ctx.groups
        stride, padding = ctx.window
        d_out = _channels_last(d_out)
        state = (pooled, hidden, gate) if ctx.gated else (None, None, None)
        weights = tuple(excite) if ctx.gated else (None, None, None, None)
        d_sum, d_y_sum, d_pooled, *d_excite = _OPS.reduce(
            d_out, y, affine.scale, affine.shift, act, affine.mean, *state, *weights, inner_act
        )
        d_weight, d_bias = d_y_sum * affine.inverse, d_sum.clone()
        _sum_over(group if ctx.count else None, d_sum, d_y_sum)
        slopes = _slopes(affine, d_sum, d_y_sum, ctx.count)
        d_x, d_kernel, in_sum, in_x_sum = _OPS.convolve_gradient(
            d_out,
            y,
            affine.scale,
            affine.shift,
            act,
            gate if ctx.gated else None,
            d_pooled if ctx.gated else None,
            *slopes,
            x,
            kernel,
            first.scale if ctx.prologue else None,
            first.shift if ctx.prologue else None,
            in_act,
            first.mean if ctx.prologue else None,
            stride,
            padding,
        )
        d_in_weight = d_in_bias = None
        if ctx.prologue:
            d_in_weight, d_in_bias = in_x_sum * first.inverse, in_sum.clone()
            _sum_over(in_group if ctx.in_count else None, in_sum, in_x_sum)
            in_slopes = _slopes(first, in_sum, in_x_sum, ctx.in_count)
            d_x = _OPS.norm_gradient(d_x, x, first.scale, first.shift, "none", None, None, *in_slopes)
        d_excite = d_excite if ctx.gated else [None] * 4
        return (
            *(d_x, d_in_weight, d_in_bias, None, None, None, None, None),
            *(d_kernel, None, None),
            *(d_weight, d_bias, None, None, None, None, None),
            *(*d_excite, None),
        )


_Four = tuple[Tensor, Tensor, Tensor, Tensor]


def _vectors(dtype: torch.dtype, *tensors: Tensor | None) -> tuple[Tensor | None, ...]:
    return tuple(None if t is None else t.to(vector_dtype(dtype)) for t in tensors)


def norm_act(y: Tensor, norm: Norm) -> tuple[Tensor, Statistics | None]:
    """Batch norm and activation of a map in one pass over it.

    Args:
        y: (n, c, h, w), channels_last.
        norm: the batch norm; without mean and var the batch's are used.

    Returns:
        The map, and the batch statistics that were used, if any.
    """
    weight, bias, mean, var = _vectors(y.dtype, norm.weight, norm.bias, norm.mean, norm.var)
    out, *stats = _NormAct.apply(y, weight, bias, mean, var, norm.eps, norm.act, norm.group)
    return out, Statistics(*stats) if norm.mean is None and y.numel() else None


def depthwise_se(
    x: Tensor,
    kernel: Tensor,
    norm: Norm,
    excite: Excite | None = None,
    stride: int = 1,
    padding: int = 0,
    before: Norm | None = None,
) -> tuple[Tensor, Statistics | None, Statistics | None]:
    """Depthwise convolution, batch norm, activation and squeeze-excite.

    Args:
        x: (n, c, h, w), channels_last.
        kernel: (c, 1, k, k), k = 3, 5 or 7.
        norm: of the convolution's output; without mean and var the batch's are used.
        excite: None leaves squeeze-excite out.
        stride: 1 or 2.
        padding: zeros around x.
        before: a norm and activation applied to x first.

    Returns:
        (n, c, h', w') channels_last, and the batch statistics that `before` and `norm` used; None where they used
        none.
    """
    vectors = _vectors(x.dtype, kernel, norm.weight, norm.bias, norm.mean, norm.var)
    first = before or Norm(None, None, None, None, 0.0, "none")  # type: ignore[arg-type]
    in_vectors = _vectors(x.dtype, first.weight, first.bias, first.mean, first.var)
    constant = all(stats is not None for stats in (norm.mean, first.mean if before else norm.mean))
    weights = _vectors(x.dtype, *(excite[:4] if excite else (None,) * 4))
    inner = excite.act if excite else "none"
    if constant and not torch.is_grad_enabled():
        affine = _affine(*cast(_Four, vectors[1:]), norm.eps)
        entry = _affine(*cast(_Four, in_vectors), first.eps) if before else None
        out = _OPS.infer(
            x,
            vectors[0],
            entry.scale if entry else None,
            entry.shift if entry else None,
            first.act,
            affine.scale,
            affine.shift,
            norm.act,
            *weights,
            inner,
            stride,
            padding,
        )
        return out, None, None
    out, *stats = _DepthwiseSE.apply(
        x,
        *in_vectors,
        first.eps,
        first.act,
        first.group,
        vectors[0],
        stride,
        padding,
        *vectors[1:],
        norm.eps,
        norm.act,
        norm.group,
        *weights,
        inner,
    )
    return (
        out,
        Statistics(*stats[:2]) if before and before.mean is None and x.numel() else None,
        Statistics(*stats[2:]) if norm.mean is None and out.numel() else None,
    )
