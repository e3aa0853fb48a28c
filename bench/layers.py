"""The depthwise layers that are timed: those of real networks, each shape once."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from narsfast.arch import Definition, create, definition_of
from narsfast.ops import DepthwiseSE, SqueezeExcite
from narsfast.space import load_space

SMALL_BATCH = 32
"""The batch of the built-in recipes of the small spaces."""


@dataclass(frozen=True)
class Layer:
    """One DepthwiseSE: its network and shape."""

    network: str
    batch: int
    channels: int
    height: int
    width: int
    kernel: int
    stride: int
    padding: int
    squeezed: int | None

    @property
    def out_size(self) -> tuple[int, int]:
        """Height and width of the output."""
        height, width = (
            (side + 2 * self.padding - self.kernel) // self.stride + 1 for side in (self.height, self.width)
        )
        return height, width

    @property
    def flops(self) -> float:
        """Operations of the convolution and the squeeze-excite, two per multiply-add."""
        height, width = self.out_size
        taps = 2.0 * self.kernel**2 * height * width
        return self.batch * self.channels * (taps + 4.0 * (self.squeezed or 0))

    @property
    def moved(self) -> int:
        """Bytes of input, output and weights once, float32."""
        height, width = self.out_size
        maps = self.batch * self.channels * (self.height * self.width + height * width)
        return 4 * (maps + self.channels * (self.kernel**2 + 2 * (self.squeezed or 0)))

    def build(self) -> DepthwiseSE:
        """Build the module."""
        return DepthwiseSE(self.channels, self.kernel, self.stride, self.padding, self.squeezed)

    def name(self) -> str:
        """Return network, shape, kernel, stride and squeeze-excite in short."""
        gate = f" se{self.squeezed}" if self.squeezed else ""
        return f"{self.network} {self.channels}x{self.height} k{self.kernel}s{self.stride}{gate}"


def layers_of(name: str, network: Definition | str, resolution: int, batch: int) -> list[Layer]:
    """List each shape of a network at a resolution once, in order."""
    module = create(network, padding="half").eval()
    found: list[Layer] = []

    def note(block: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: object) -> None:
        assert isinstance(block, DepthwiseSE)
        channels, height, width = inputs[0].shape[1:]
        squeezed = block.se.reduce.out_channels if isinstance(block.se, SqueezeExcite) else None
        layer = Layer(
            name,
            batch,
            channels,
            height,
            width,
            block.conv.kernel_size[0],
            block.conv.stride[0],
            int(block.conv.padding[0]),
            squeezed,
        )
        if layer not in found:
            found.append(layer)

    for block in module.modules():
        if isinstance(block, DepthwiseSE):
            block.register_forward_hook(note)
    with torch.no_grad():
        module(torch.zeros(1, 3, resolution, resolution))
    return found


def all_layers(quick: bool) -> list[Layer]:
    """List the layers of A, B, D, G of the zoo at 128 px, and of one network per small space with its recipe's batch.

    Args:
        quick: List some of those of B and of the small spaces only.
    """
    zoo = ("B",) if quick else ("A", "B", "D", "G")
    layers = [layer for name in zoo for layer in layers_of(name, name.lower(), 128, 8)]
    for name, resolution in (("tiny", 32), ("mobile", 64)):
        space = load_space(name)
        network = definition_of(space, space.random(1, seed=0))[0]
        layers += layers_of(name, network, resolution, SMALL_BATCH)
    return layers[::4] if quick else layers
