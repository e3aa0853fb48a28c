"""Convolutions whose zero padding differs between the sides of the map, as TensorFlow's "same" padding does."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn import functional


class Padding(NamedTuple):
    """Zeros around a map."""

    top: int
    bottom: int
    left: int
    right: int


class Conv2dPadded(nn.Conv2d):
    """A convolution padded by `before` zeros above and to the left of the map, and `after` ones below and to the right.

    Its weights are named as those of torch's Conv2d.

    Args:
        in_channels: Channels in.
        out_channels: Channels out.
        kernel_size: Side of the kernel, or (height, width).
        stride: Likewise.
        padding: (before, after).
        dilation: Likewise.
        groups: Groups of channels that are convolved apart.
        bias: Whether it adds a bias.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: tuple[int, int] = (0, 0),
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, 0, dilation, groups, bias)
        self.before, self.after = padding

    def pads(self, height: int, width: int) -> Padding:
        """Return the zeros around a map of this height and width."""
        return Padding(self.before, self.after, self.before, self.after)

    def forward(self, input: Tensor) -> Tensor:
        """(n, in_channels, h, w) to (n, out_channels, h', w')."""
        top, bottom, left, right = self.pads(input.shape[2], input.shape[3])
        return super().forward(functional.pad(input, (left, right, top, bottom)))

    def extra_repr(self) -> str:
        """Return the settings that print(module) shows."""
        shown: str = super().extra_repr()  # type: ignore[no-untyped-call]
        return f"{shown}, before={self.before}, after={self.after}"


class Conv2dSame(nn.Conv2d):
    """A convolution padded as TensorFlow's "same": ceil(side / stride) outputs a side, an odd zero after the map.

    The padding depends on the map's side: a 3x3 kernel of stride 2 pads an even side by 0 before and 1 after, and an odd
    one by 1 and 1. Its weights are named as those of torch's Conv2d.

    Args:
        in_channels: Channels in.
        out_channels: Channels out.
        kernel_size: Side of the kernel, or (height, width).
        stride: Likewise.
        dilation: Likewise.
        groups: Groups of channels that are convolved apart.
        bias: Whether it adds a bias.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, dilation=dilation, groups=groups, bias=bias
        )
        # Whoever builds another convolution from this one's attributes gets this padding, or torch's refusal of it.
        self.padding: Any = "same"

    def pads(self, height: int, width: int) -> Padding:
        """Return the zeros around a map of this height and width."""
        top, bottom = self._sides(0, height)
        left, right = self._sides(1, width)
        return Padding(top, bottom, left, right)

    def forward(self, input: Tensor) -> Tensor:
        """(n, in_channels, h, w) to (n, out_channels, ceil(h / stride), ceil(w / stride))."""
        padding = (self._reach(0) // 2, self._reach(1) // 2)
        if self.stride != (1, 1) or self._reach(0) % 2 or self._reach(1) % 2:
            top, bottom, left, right = self.pads(input.shape[2], input.shape[3])
            input, padding = functional.pad(input, (left, right, top, bottom)), (0, 0)
        return functional.conv2d(
            input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )

    def _reach(self, axis: int) -> int:
        """Return the distance between the first and the last input of an output."""
        return self.dilation[axis] * (self.kernel_size[axis] - 1)

    def _sides(self, axis: int, side: int) -> tuple[int, int]:
        """Return the zeros before and after along one axis."""
        reach, stride = self._reach(axis), self.stride[axis]
        # Only a kernel smaller than its stride may need fewer than none: elsewhere traced sides are not compared.
        total = reach - (side - 1) % stride
        if reach + 1 < stride:
            total = max(total, 0)
        return total // 2, total - total // 2
