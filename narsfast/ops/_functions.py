"""The differentiable block: norms with batch statistics around a depthwise convolution, with squeeze-excite.

Both directions are split at the batch statistics, where a process group may sum them over its members. Saved for the
backward are only the maps before the norms; activations are computed again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed
from torch.autograd import Function

from ._arguments import vector_dtype
from ._library import (
    convolve,
    convolve_gradient,
    infer,
    infer_at_once,
    moments,
    norm_gradient,
    normalise,
    reduce,
)


class Norm(NamedTuple):
    """A batch norm and the activation after it, as data.

    `mean` and `var` (channels,) are used as they are; None: those of the batch are taken.
    """

    weight: Tensor
    bias: Tensor
    mean: Tensor | None
    var: Tensor | None
    eps: float
    act: str
    group: Any = None
    """The torch.distributed process group that shares batch statistics; None: this process alone.

    Members may have different numbers of images, also none, as with torch's SyncBatchNorm; all must take part.
    """


class Excite(NamedTuple):
    """The weights of a squeeze-excite, of 1x1 convolutions or of linear layers.

    (squeezed, channels[, 1, 1]), (squeezed,), (channels, squeezed[, 1, 1]), (channels,).
    """

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
    """Mean and biased variance (channels,) of so many values each; a number of 0: they are constants."""

    mean: Tensor
    var: Tensor
    number: float

    def statistics(self) -> tuple[Tensor, Tensor] | tuple[None, None]:
        if not self.number:
            return None, None
        return self.mean, self.var * (self.number / (self.number - 1))


def _gather(moments: Sequence[Tensor], of: Tensor, group: Any) -> _Batch:
    """The moments of the map `of`, joined with those of the other members of a group."""
    mean, var = moments
    count = of.shape[0] * of.shape[2] * of.shape[3]
    if group is not None:
        total = torch.tensor([count], device=mean.device)
        distributed.all_reduce(total, group=group)
        together = int(total)
        share = count / max(together, 1)
        joint = mean * share
        distributed.all_reduce(joint, group=group)
        var = share * (var + (mean - joint) ** 2)
        distributed.all_reduce(var, group=group)
        mean, count = joint, together
    if count == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {of.shape}")
    return _Batch(mean, var, count)


def _sum_over(group: Any, *tensors: Tensor) -> tuple[Tensor, ...]:
    """Sums over the members of a group; the tensors themselves stay."""
    if group is None:
        return tensors
    sums = tuple(tensor.clone() for tensor in tensors)
    for tensor in sums:
        distributed.all_reduce(tensor, group=group)
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
        eps: float,
        act: str,
        group: Any,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        batch = _gather(moments(y), y, group) if mean is None or var is None else _Batch(mean, var, 0)
        norm = (weight, bias, batch.mean, batch.var)
        out = normalise(y, *norm, eps, act, None, None, None, None, "none")[0]
        ctx.save_for_backward(y, *norm)
        ctx.settings = eps, act, group, batch.number
        ctx.set_materialize_grads(False)
        used = batch.statistics()
        ctx.mark_non_differentiable(*(tensor for tensor in used if tensor is not None))
        return out, *used

    @staticmethod
    def backward(ctx: Any, d_out: Tensor | None, *_: Any) -> Any:
        _refuse_second_derivative()
        if d_out is None:
            return (None,) * 8
        y, *norm = ctx.saved_tensors
        eps, act, group, count = ctx.settings
        d_out = _channels_last(d_out)
        d_weight, d_bias = reduce(d_out, y, *norm, eps, act, None, None, None, None, None, "none")[:2]
        sums = _sum_over(group if count else None, d_weight, d_bias)
        d_y = norm_gradient(d_out, y, *norm, eps, act, *sums, count)
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
    ) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
        in_count: float = 0
        in_used: tuple[Tensor | None, Tensor | None] = None, None
        if in_weight is not None and in_mean is None:
            in_batch = _gather(moments(x), x, in_group)
            in_mean, in_var, in_count = in_batch
            in_used = in_batch.statistics()
        before = (in_weight, in_bias, in_mean, in_var)
        y, *found = convolve(x, kernel, *before, in_eps, in_act, stride, padding)
        batch = _gather(found, y, group) if mean is None or var is None else _Batch(mean, var, 0)
        norm = (weight, bias, batch.mean, batch.var)
        excite = (reduce_weight, reduce_bias, expand_weight, expand_bias)
        out, *state = normalise(y, *norm, eps, act, *excite, inner_act)
        ctx.save_for_backward(x, kernel, *before, y, *norm, state[0] if state else None, *excite)
        ctx.settings = (in_eps, in_act), (stride, padding), (eps, act), inner_act
        ctx.seams = in_group, in_count, group, batch.number
        ctx.set_materialize_grads(False)
        used = batch.statistics()
        ctx.mark_non_differentiable(*(tensor for tensor in (*in_used, *used) if tensor is not None))
        return out, *in_used, *used

    @staticmethod
    def backward(ctx: Any, d_out: Tensor | None, *_: Any) -> Any:
        _refuse_second_derivative()
        if d_out is None:
            return (None,) * 23
        saved = ctx.saved_tensors
        x, kernel, before, y, norm = saved[0], saved[1], saved[2:6], saved[6], saved[7:11]
        state, excite = saved[11], saved[12:]
        in_settings, window, settings, inner_act = ctx.settings
        in_group, in_count, group, count = ctx.seams
        d_out = _channels_last(d_out)
        d_weight, d_bias, *gates = reduce(d_out, y, *norm, *settings, state, *excite, inner_act)
        d_pooled, *d_excite = gates or (None,) * 5
        sums = _sum_over(group if count else None, d_weight, d_bias)
        shared = in_group is not None and in_count > 0
        d_x, d_kernel, *d_before = convolve_gradient(
            *(d_out, y, *norm, *settings, state, d_pooled, *sums, count),
            *(x, kernel, *before, *in_settings, None if shared else in_count, *window),
        )
        d_in_weight, d_in_bias = d_before or (None, None)
        if d_before and shared:
            in_sums = _sum_over(in_group, *d_before)
            d_x = norm_gradient(d_x, x, *before, in_settings[0], "none", *in_sums, in_count)
        return (
            *(d_x, d_in_weight, d_in_bias, None, None, None, None, None),
            *(d_kernel, None, None),
            *(d_weight, d_bias, None, None, None, None, None),
            *d_excite,
            None,
        )


def _vectors(dtype: torch.dtype, *tensors: Tensor | None) -> list[Tensor | None]:
    expected = vector_dtype(dtype)
    return [t if t is None or t.dtype is expected else t.to(expected) for t in tensors]


def _statistics(mean: Tensor | None, unbiased_var: Tensor | None) -> Statistics | None:
    if mean is None or unbiased_var is None or not mean.numel():
        return None
    return Statistics(mean, unbiased_var)


def norm_act(y: Tensor, norm: Norm) -> tuple[Tensor, Statistics | None]:
    """Batch norm and activation of a map in one pass over it.

    Args:
        y: (n, c, h, w), channels_last.
        norm: the batch norm; without mean and var the batch's are used.

    Returns:
        The map, and the batch statistics that were used, if any.
    """
    vectors = _vectors(y.dtype, *norm[:4])
    out, *used = _NormAct.apply(y, *vectors, norm.eps, norm.act, norm.group)
    return out, _statistics(*used)


_NO_NORM = (None, None, None, None, 0.0, "none", None)
_NO_EXCITE = (None, None, None, None)


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
    constant = norm.mean is not None and (before is None or before.mean is not None)
    evaluated = constant and not torch.is_grad_enabled()
    if evaluated and (found := infer_at_once(x, kernel, before, norm, excite, stride, padding)) is not None:
        return found, None, None
    first = before or _NO_NORM
    own, *vectors = _vectors(x.dtype, kernel, *first[:4], *norm[:4], *(excite or _NO_EXCITE)[:4])
    in_vectors, norm_vectors, gates = vectors[:4], vectors[4:8], vectors[8:]
    inner_act = excite.act if excite else "none"
    if evaluated:
        out = infer(
            *(x, own, *in_vectors, *first[4:6], *norm_vectors, norm.eps, norm.act),
            *(*gates, inner_act, stride, padding),
        )
        return out, None, None
    out, *used = _DepthwiseSE.apply(
        *(x, *in_vectors, *first[4:], own, stride, padding),
        *(*norm_vectors, norm.eps, norm.act, norm.group, *gates, inner_act),
    )
    return out, _statistics(*used[:2]), _statistics(*used[2:])
