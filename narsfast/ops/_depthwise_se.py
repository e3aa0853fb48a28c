"""The inner half of an inverted residual: depthwise convolution, norm, activation, squeeze-excite."""

import torch
from torch import Tensor, nn

from ._arguments import WindowArgs
from ._functions import depthwise_se
from ._modules import BatchNorm, Fusable, child, excite_args, norm_args, parameter, update_buffers


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
        self._window = WindowArgs(stride, padding)

    def forward(self, x: Tensor, input_norm: BatchNorm | None = None) -> Tensor:
        """(n, channels, h, w) to (n, channels, (h + 2 * padding - kernel) // stride + 1, w likewise).

        Args:
            x: The map.
            input_norm: A batch norm that, with a hard-swish, is applied to x first.
        """
        conv = child(self, "conv")
        kernel, stride, padding = conv.kernel_size[0], conv.stride[0], int(conv.padding[0])
        if not self.runs_fused(x, kernel, stride):
            x = x if input_norm is None else self.act(input_norm(x))
            result: Tensor = self.se(self.act(self.norm(self.conv(x))))
            return result
        changed = self._window != (stride, padding)
        if changed:
            self._window = WindowArgs(stride, padding)
        norm, se = child(self, "norm"), child(self, "se")
        gates = (child(se, "reduce"), child(se, "expand")) if isinstance(se, SqueezeExcite) else None
        result, input_statistics, statistics = depthwise_se(
            x.contiguous(memory_format=torch.channels_last),
            parameter(conv, "weight"),
            norm_args(norm, "hard_swish"),
            self._window,
            None if gates is None else excite_args(*gates, "hard_swish"),
            None if input_norm is None else norm_args(input_norm, "hard_swish"),
        )
        if input_norm is not None:
            update_buffers(input_norm, input_statistics)
        update_buffers(norm, statistics)
        return result
