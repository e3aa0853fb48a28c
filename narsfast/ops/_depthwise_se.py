"""The inner half of an inverted residual: depthwise convolution, norm, activation, squeeze-excite."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ._arguments import WindowArgs
from ._children import ACTIVATIONS, is_activation, is_dense, is_depthwise, is_norm, untouched
from ._functions import depthwise_se
from ._modules import BatchNorm, Fusable, excite_args, norm_args, parameter, update_buffers

_PLAIN = {"none": lambda x: x, "relu": functional.relu, "hard_swish": functional.hardswish}
"""The activations of the kernels in plain torch."""


class _Plan(NamedTuple):
    """What the kernels must know of a block's children beside their parameters."""

    kernel: int
    window: WindowArgs
    act: str
    inner_act: str
    """That of the squeeze-excite; empty without one."""


_Parts = tuple[nn.Conv2d, Any, Any, Any, nn.Module, dict[str, nn.Module | None]]
"""The convolution, its stride, padding and dilation, the squeeze-excite, and its children."""


class SqueezeExcite(nn.Module):
    """Gates every channel by the map's means.

    Average pool, 1x1 convolution to `squeezed`, hard-swish, 1x1 convolution back, hard-sigmoid, multiply.
    """

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.act = nn.Hardswish()
        self.expand = nn.Conv2d(squeezed, channels, 1)
        self.gate = nn.Hardsigmoid()

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
            and untouched(self.gate, nn.Hardsigmoid)
        )


class DepthwiseSE(Fusable):
    """Depthwise convolution, batch norm, hard-swish, and squeeze-excite where `squeezed` is given.

    Args:
        channels: Channels in and out.
        kernel: Side of the kernel, odd.
        stride: Stride of the convolution.
        padding: Zero padding; None = kernel // 2.
        squeezed: Inner width of the squeeze-excite; None leaves it out.
    """

    def __init__(
        self,
        channels: int,
        kernel: int,
        stride: int = 1,
        padding: int | None = None,
        squeezed: int | None = None,
    ) -> None:
        super().__init__()
        padding = kernel // 2 if padding is None else padding
        self.conv = nn.Conv2d(channels, channels, kernel, stride, padding, groups=channels, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.act = nn.Hardswish()
        self.se = nn.Identity() if squeezed is None else SqueezeExcite(channels, squeezed)

    def forward(
        self, x: Tensor, input_norm: BatchNorm | None = None, input_act: str = "hard_swish"
    ) -> Tensor:
        """(n, channels, h, w) to (n, channels, (h + 2 * padding - kernel) // stride + 1, w likewise).

        Args:
            x: The map.
            input_norm: A batch norm that, with an activation, is applied to x first.
            input_act: This activation: "none", "relu" or "hard_swish".
        """
        plan: _Plan
        if not self.intact() or not self.runs_fused(x, (plan := self._look.plan).kernel, plan.window.stride):
            if input_norm is not None:
                x = _PLAIN[input_act](input_norm(x))
            result: Tensor = self.se(self.act(self.norm(self.conv(x))))
            return result
        children: Any = self._modules
        norm = children["norm"]
        gates = children["se"]._modules if plan.inner_act else None
        result, input_statistics, statistics = depthwise_se(
            x.contiguous(memory_format=torch.channels_last),
            parameter(children["conv"], "weight"),
            norm_args(norm, plan.act),
            plan.window,
            None if gates is None else excite_args(gates["reduce"], gates["expand"], plan.inner_act),
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
        inner = ""
        if untouched(se, SqueezeExcite) and se.is_fusable():
            inner = ACTIVATIONS[type(se.act)]
        elif not untouched(se, nn.Identity):
            return None
        window = WindowArgs(conv.stride[0], int(conv.padding[0]))
        return _Plan(conv.kernel_size[0], window, ACTIVATIONS[type(act)], inner)

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
