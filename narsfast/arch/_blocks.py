"""The blocks of a network and the initialization of their weights."""

from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from narsfast.ops import (
    ACTIVATIONS,
    DepthwiseSE,
    Fusable,
    Watched,
    is_activation,
    is_norm,
    norm_act,
    norm_args,
    pointwise,
    untouched,
    update_buffers,
)

from ._definition import Padding, Row
from ._width import round_width, squeezed_width


class ConvNorm(Fusable, nn.Sequential):
    """A convolution without bias, batch norm, and hard-swish if `act`."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int = 1, stride: int = 1, act: bool = True
    ):
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(out_channels),
        ]
        super().__init__(*layers, *([nn.Hardswish()] if act else []))

    def convolve(self, x: Tensor) -> Tensor | None:
        """Apply the convolution without norm and activation; None where the modules must be called."""
        # torch says what is wrong with maps of other dimensions.
        if not self.intact() or not self.runs_fused(x) or x.dim() != 4:
            return None
        conv: Any = self._modules["0"]
        return pointwise(conv, x)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in_channels, h, w) to (n, out_channels, h', w')."""
        y = self.convolve(x)
        if y is None:
            for layer in self:
                x = layer(x)
            return x
        if not self.runs_fused(y):  # autocast chose another dtype
            for layer in list(self)[1:]:
                y = layer(y)
            return y
        norm: Any = self._modules["1"]
        y, statistics = norm_act(
            y.contiguous(memory_format=torch.channels_last), norm_args(norm, self.act_name)
        )
        update_buffers(norm, statistics)
        return y

    @property
    def act_name(self) -> str:
        """The activation as kernels name it, while the children are intact."""
        name: str = self._look.plan
        return name

    def _examine(self) -> str | None:
        conv, *rest = self._modules.values()
        if list(self._modules) not in (["0", "1"], ["0", "1", "2"]) or not untouched(conv, nn.Conv2d):
            return None
        if not is_norm(rest[0]) or not all(is_activation(act) for act in rest[1:]):
            return None
        return ACTIVATIONS[type(rest[1])] if len(rest) > 1 else "none"


class InvertedResidual(Watched):
    """Expansion, depthwise convolution (with squeeze-excite) and projection, plus the input if the shapes agree.

    There is no expansion if it would not change the width. Widths are rounded as in the released models.

    Attributes:
        shortcut: Whether the input is added to the output.
    """

    def __init__(self, row: Row, in_channels: int, stride: int, padding: int, drop_path: float = 0.0) -> None:
        super().__init__()
        middle = round_width(in_channels * row.expansion)
        squeezed = squeezed_width(middle, row.expansion) if row.se else None
        self.shortcut = stride == 1 and in_channels == row.channels and 2 * padding == row.kernel - 1
        self.expand = ConvNorm(in_channels, middle) if middle != in_channels else nn.Identity()
        self.depthwise = DepthwiseSE(middle, row.kernel, stride, padding, squeezed)
        self.project = ConvNorm(middle, row.channels, act=False)
        drops = self.shortcut and drop_path > 0
        self.drop_path = StochasticDepth(drop_path, mode="row") if drops else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in_channels, h, w) to (n, channels, h', w')."""
        children: Any = self._modules
        expand, depthwise = children["expand"], children["depthwise"]
        joined = self.intact()
        if joined and self._look.plan is nn.Identity:
            y = depthwise(x)
        elif joined and (convolved := expand.convolve(x)) is not None:
            # The depthwise convolution applies the norm and activation of the expansion as it reads its input.
            y = depthwise(convolved, input_norm=expand._modules["1"], input_act=expand.act_name)
        else:
            y = depthwise(expand(x))
        result: Tensor = children["project"](y)
        return x + children["drop_path"](result) if self.shortcut else result

    def _examine(self) -> type[nn.Module] | None:
        """Return the class of `expand` where no one sees whether it and `depthwise` are called one after the other."""
        children: Any = self._modules
        expand, depthwise = children["expand"], children["depthwise"]
        if not untouched(depthwise, DepthwiseSE) or not untouched(expand, ConvNorm, nn.Identity):
            return None
        found: type[nn.Module] = type(expand)
        return found


class Head(nn.Module):
    """A 1x1 convolution with norm, mean over the map, a 1x1 convolution without norm or bias, and the classifier."""

    def __init__(
        self, in_channels: int, expansion: int, features: int, num_classes: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        middle = round_width(in_channels * expansion)
        self.expand = ConvNorm(in_channels, middle)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.features = nn.Conv2d(middle, features, 1, bias=False)
        self.act = nn.Hardswish()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(features, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in_channels, h, w) to logits (n, num_classes)."""
        vector = self.act(self.features(self.pool(self.expand(x)))).flatten(1)
        logits: Tensor = self.classifier(self.dropout(vector))
        return logits


def build_row(
    row: Row, in_channels: int, padding: Padding, drop_paths: list[float]
) -> list[InvertedResidual]:
    """Build the blocks of a row; `drop_paths` has one rate per block."""
    half = row.kernel // 2
    first = row.padding if padding == "published" and row.padding is not None else half
    blocks = [InvertedResidual(row, in_channels, row.stride, first, drop_paths[0])]
    blocks += [InvertedResidual(row, row.channels, 1, half, rate) for rate in drop_paths[1:]]
    return blocks


def initialize(network: nn.Module) -> None:
    """Initialize all weights from torch's global generator.

    From the released code: convolutions are Kaiming-normal by fan-out, and the last norm of each residual block starts
    at scale 0. This project's choice: classifier weights are normal with standard deviation 0.01, biases 0. As in torch,
    fan-out is counted over all groups, so that depthwise weights start small. As a norm follows, their size affects not
    the output but the effective learning rate (bench/results/depthwise_start.json). Nothing is drawn on the meta device.
    """
    if all(parameter.is_meta for parameter in network.parameters()):
        return
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.01)
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
    for module in network.modules():
        if isinstance(module, InvertedResidual) and module.shortcut:
            nn.init.zeros_(module.project.get_parameter("1.weight"))
