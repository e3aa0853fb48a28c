"""Residual networks small enough to train on a CPU, as factories that `FILE.py:FACTORY` names.

torchvision's basic block at 16, 32 and 64 channels, as in the ResNets for CIFAR; `wide` has 1.4 times the channels of
`base`, `deep` twice its blocks.
"""

from __future__ import annotations

from torch import nn
from torchvision.models.resnet import BasicBlock


def _resnet(num_classes: int, in_chans: int, widths: tuple[int, ...], blocks: int) -> nn.Module:
    stem = nn.Conv2d(in_chans, widths[0], 3, padding=1, bias=False)
    layers: list[nn.Module] = [stem, nn.BatchNorm2d(widths[0]), nn.ReLU()]
    channels = widths[0]
    for stage, width in enumerate(widths):
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            shortcut = None
            if stride != 1 or channels != width:
                shortcut = nn.Sequential(
                    nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width)
                )
            layers.append(BasicBlock(channels, width, stride, shortcut))
            channels = width
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network


def base(num_classes: int, in_chans: int) -> nn.Module:
    """Build the network that the others are variants of."""
    return _resnet(num_classes, in_chans, (16, 32, 64), 1)


def wide(num_classes: int, in_chans: int) -> nn.Module:
    """Build the one with more channels."""
    return _resnet(num_classes, in_chans, (22, 45, 90), 1)


def deep(num_classes: int, in_chans: int) -> nn.Module:
    """Build the one with more blocks."""
    return _resnet(num_classes, in_chans, (16, 32, 64), 2)
