"""The first layer of a pretrained network, and what it becomes for gray images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from narsfast.common.preparation import Preparation
from narsfast.errors import UserError


@dataclass(frozen=True)
class Stem:
    """Names of the tensors of a network's first convolution.

    Attributes:
        weight: Of the convolution.
        bias: Of the convolution; None: it has none.
        running_mean: Of the batch norm after a convolution without bias; None: there is none.
    """

    weight: str
    bias: str | None = None
    running_mean: str | None = None


OWN_STEM = Stem("stem.0.weight", running_mean="stem.1.running_mean")
"""The stem of a definition's network."""


def stem_of(network: nn.Module) -> Stem | None:
    """Return the first convolution of a network; None where it has none."""
    modules = list(network.named_modules())
    for place, (name, module) in enumerate(modules):
        if not isinstance(module, nn.Conv2d):
            continue
        if module.bias is not None:
            return Stem(f"{name}.weight", bias=f"{name}.bias")
        layers = (_BatchNorm, nn.Conv2d, nn.Linear, nn.LayerNorm, nn.GroupNorm)
        after, norm = next((m for m in modules[place + 1 :] if isinstance(m[1], layers)), ("", None))
        normed = isinstance(norm, _BatchNorm) and norm.num_features == module.out_channels
        return Stem(f"{name}.weight", running_mean=f"{after}.running_mean" if normed else None)
    return None


def gray_weights(weights: Mapping[str, Tensor], stem: Stem, preparation: Preparation) -> dict[str, Tensor]:
    """Return weights for gray images, which give what three equal channels would give.

    The weights of the stem are summed over the channels. Each channel has a normalization of its own, and the gray image
    their average (`Preparation.for_channels`): so each counts by the ratio of the standard deviations, and what the
    different means add to every output goes into the norm after the stem, or its bias. Both are exact, but for the
    border, where a map is padded with other zeros; with equal means there too. A stem with neither norm nor bias loses
    the constant.

    Args:
        weights: Of the network for images of several channels; not changed.
        stem: Its first layer.
        preparation: Of its images.
    """
    gray = preparation.for_channels(1)
    mean, std = (torch.tensor(values, dtype=torch.float64) for values in (preparation.mean, preparation.std))
    kernels = weights[stem.weight].double()
    result = dict(weights)
    factors = (gray.std[0] / std).view(1, -1, 1, 1)
    result[stem.weight] = (kernels * factors).sum(1, keepdim=True).float()
    constant = (kernels.sum((2, 3)) * ((gray.mean[0] - mean) / std)).sum(1)
    if stem.running_mean is not None:
        result[stem.running_mean] = (weights[stem.running_mean].double() - constant).float()
    elif stem.bias is not None:
        result[stem.bias] = (weights[stem.bias].double() + constant).float()
    return result


def check_channels(name: str, own: int, in_chans: int) -> None:
    """Refuse images of other channels than a network takes, but for gray ones.

    Raises:
        UserError: They have others.
    """
    if in_chans not in (own, 1):
        raise UserError(
            f"parent {name} takes images of {own} channel(s), and the data has {in_chans}; name a parent of {in_chans} "
            "channels, or convert the images"
        )
