"""The inner half of an inverted residual: depthwise convolution, norm, activation, squeeze-excite."""

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ._arguments import WindowArgs
from ._children import (
    ACTIVATIONS,
    GATES,
    activation_module,
    gate_module,
    is_activation,
    is_dense,
    is_depthwise,
    is_gate,
    is_norm,
    untouched,
)
from ._functions import depthwise_se
from ._modules import BatchNorm, Fusable, excite_args, norm_args, parameter, update_buffers
from ._padded_conv import Conv2dPadded, Conv2dSame

_PLAIN = {
    "none": lambda x: x,
    "relu": functional.relu,
    "relu6": functional.relu6,
    "hard_swish": functional.hardswish,
    "silu": functional.silu,
}
"""The activations of the kernels in plain torch."""


class _Plan(NamedTuple):
    """What the kernels must know of a block's children beside their parameters."""

    kernel: int
    window: WindowArgs | None
    """None where the padding is asked of the convolution."""
    stride: int
    act: str
    inner_act: str
    """That of the squeeze-excite; empty without one."""
    gate: str


_Parts = tuple[nn.Conv2d, Any, Any, Any, nn.Module, dict[str, nn.Module | None]]
"""The convolution, its stride, padding and dilation, the squeeze-excite, and its children."""


class SqueezeExcite(nn.Module):
    """Gates every channel by the map's means.

    Average pool, 1x1 convolution to `squeezed`, `act`, 1x1 convolution back, `gate`, multiply.

    Args:
        channels: Channels in and out.
        squeezed: Inner width.
        act: "none", "relu", "relu6", "hard_swish" or "silu".
        gate: "hard_sigmoid" or "sigmoid".
    """

    def __init__(
        self, channels: int, squeezed: int, act: str = "hard_swish", gate: str = "hard_sigmoid"
    ) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.act = activation_module(act)
        self.expand = nn.Conv2d(squeezed, channels, 1)
        self.gate = gate_module(gate)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) to the same shape."""
        gate: Tensor = self.gate(self.expand(self.act(self.reduce(self.pool(x)))))
        return x * gate

    def is_fusable(self) -> bool:
        """Return whether the kernels compute what the children do."""
        return (
            untouched(self.pool, nn.AdaptiveAvgPool2d)
            and self.pool.output_size in (1, (1, 1))
            and is_dense(self.reduce)
            and is_activation(self.act)
            and is_dense(self.expand)
            and is_gate(self.gate)
        )


def _convolution(
    channels: int, kernel: int, stride: int, padding: int | tuple[int, int] | Literal["same"]
) -> nn.Conv2d:
    """Build the depthwise convolution."""
    if padding == "same":
        return Conv2dSame(channels, channels, kernel, stride, groups=channels, bias=False)
    if isinstance(padding, tuple):
        return Conv2dPadded(channels, channels, kernel, stride, padding, groups=channels, bias=False)
    return nn.Conv2d(channels, channels, kernel, stride, padding, groups=channels, bias=False)


class DepthwiseSE(Fusable):
    """Depthwise convolution, batch norm, activation, and squeeze-excite where `squeezed` is given.

    Args:
        channels: Channels in and out.
        kernel: Side of the kernel, odd.
        stride: Stride of the convolution.
        padding: Zeros on each side of the map, or (before, after) it in both directions, or "same" as TensorFlow pads;
            None = kernel // 2.
        squeezed: Inner width of the squeeze-excite; None leaves it out.
        act: "none", "relu", "relu6", "hard_swish" or "silu".
        inner_act: That of the squeeze-excite, likewise.
        gate: That of the squeeze-excite, "hard_sigmoid" or "sigmoid".
        eps: Added to the variance by the norm.
    """

    def __init__(
        self,
        channels: int,
        kernel: int,
        stride: int = 1,
        padding: int | tuple[int, int] | Literal["same"] | None = None,
        squeezed: int | None = None,
        act: str = "hard_swish",
        inner_act: str = "hard_swish",
        gate: str = "hard_sigmoid",
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.conv = _convolution(channels, kernel, stride, kernel // 2 if padding is None else padding)
        self.norm = nn.BatchNorm2d(channels, eps)
        self.act = activation_module(act)
        self.se = nn.Identity() if squeezed is None else SqueezeExcite(channels, squeezed, inner_act, gate)

    def forward(
        self, x: Tensor, input_norm: BatchNorm | None = None, input_act: str = "hard_swish"
    ) -> Tensor:
        """(n, channels, h, w) to (n, channels, (h + padding before and after - kernel) // stride + 1, w likewise).

        Args:
            x: The map.
            input_norm: A batch norm that, with an activation, is applied to x first.
            input_act: This activation, as `act`.
        """
        plan: _Plan
        if not self.intact() or not self.runs_fused(x, (plan := self._look.plan).kernel, plan.stride):
            if input_norm is not None:
                x = _PLAIN[input_act](input_norm(x))
            result: Tensor = self.se(self.act(self.norm(self.conv(x))))
            return result
        children: Any = self._modules
        norm = children["norm"]
        gates = children["se"]._modules if plan.inner_act else None
        window = plan.window or WindowArgs(plan.stride, *children["conv"].pads(x.shape[2], x.shape[3]))
        result, input_statistics, statistics = depthwise_se(
            x.contiguous(memory_format=torch.channels_last),
            parameter(children["conv"], "weight"),
            norm_args(norm, plan.act),
            window,
            None
            if gates is None
            else excite_args(gates["reduce"], gates["expand"], plan.inner_act, plan.gate),
            None if input_norm is None else norm_args(input_norm, input_act),
        )
        if input_norm is not None and input_statistics is not None:
            update_buffers(input_norm, input_statistics)
        if statistics is not None:
            update_buffers(norm, statistics)
        return result

    def _examine(self) -> _Plan | None:
        children: Any = self._modules
        conv, norm, act, se = (children[name] for name in ("conv", "norm", "act", "se"))
        if not (is_depthwise(conv) and is_norm(norm) and is_activation(act)):
            return None
        inner = gate = ""
        if untouched(se, SqueezeExcite) and se.is_fusable():
            inner, gate = ACTIVATIONS[type(se.act)], GATES[type(se.gate)]
        elif not untouched(se, nn.Identity):
            return None
        window, stride = None, conv.stride[0]
        if type(conv) is nn.Conv2d:
            height, width = (int(side) for side in conv.padding)
            window = WindowArgs(stride, height, height, width, width)
        return _Plan(conv.kernel_size[0], window, stride, ACTIVATIONS[type(act)], inner, gate)

    def _parts(self) -> _Parts:
        conv, se = self.conv, self.se
        return conv, conv.stride, conv.padding, conv.dilation, se, dict(se._modules)

    def _same(self, parts: _Parts) -> bool:
        conv, stride, padding, dilation, se, gates = parts
        return (
            conv.stride is stride
            and conv.padding is padding
            and conv.dilation is dilation
            and gates == se._modules
        )
