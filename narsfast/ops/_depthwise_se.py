"""The inner half of an inverted residual: depthwise convolution, norm, activation, squeeze-excite."""

from torch import Tensor, nn


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


class DepthwiseSE(nn.Module):
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

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) to (n, channels, (h + 2 * padding - kernel) // stride + 1, w likewise)."""
        result: Tensor = self.se(self.act(self.norm(self.conv(x))))
        return result
