"""What the layers of a parent read on images: mean and covariance of their inputs, from which a child is fitted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from narsfast.ops import plain_ops

_POSITIONS = 2048
"""Most positions of a batch that are counted (this project's choice)."""


@dataclass(frozen=True)
class Moment:
    """Mean and covariance of the channels that a layer reads, over images and positions.

    Attributes:
        mean: (channels,) float32.
        covariance: (channels, channels) float32.
    """

    mean: Tensor
    covariance: Tensor


class _Sums:
    """Sums over the positions that were seen."""

    def __init__(self) -> None:
        self.count = 0
        self.first: Tensor | float = 0.0
        self.second: Tensor | float = 0.0

    def add(self, x: Tensor) -> None:
        values = x.transpose(0, 1).flatten(1)
        if values.shape[1] > _POSITIONS:
            chosen = torch.randperm(values.shape[1], generator=torch.Generator().manual_seed(self.count))
            values = values[:, chosen[:_POSITIONS]]
        self.count += values.shape[1]
        self.first = self.first + values.sum(1).double()
        self.second = self.second + (values @ values.T).double()

    def moment(self) -> Moment:
        assert isinstance(self.first, Tensor)
        assert isinstance(self.second, Tensor)
        mean = self.first / self.count
        covariance = self.second / self.count - mean[:, None] * mean
        return Moment(mean.float(), covariance.float())


@torch.no_grad()
def measure_moments(network: nn.Module, layers: Iterable[str], images: Iterable[Tensor]) -> dict[str, Moment]:
    """Measure what layers read when a network computes in evaluation mode.

    Args:
        network: On the device of the images; it is left in evaluation mode.
        layers: Names of its convolutions and linear layers.
        images: Batches (n, channels, h, w), at least one.

    Returns:
        A moment by the name of the layer, on the CPU.
    """
    sums = {name: _Sums() for name in layers}
    modules = dict(network.named_modules())
    hooks = [
        modules[name].register_forward_pre_hook(lambda _, given, own=own: own.add(given[0].cpu()))
        for name, own in sums.items()
    ]
    try:
        network.eval()
        with plain_ops(network):
            for batch in images:
                network(batch)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: own.moment() for name, own in sums.items()}


@dataclass(frozen=True)
class Reader:
    """A layer that reads a group of channels.

    Attributes:
        weight: (outputs, channels, ...), of the parent.
        moment: Of what it reads.
    """

    weight: Tensor
    moment: Moment


def elimination_order(readers: Iterable[Reader]) -> Tensor:
    """Order the channels of a group by what their loss does to the layers that read it, the most needed first (n,).

    A lost channel is replaced by its best linear prediction from those that are left; what its readers' outputs lose by
    that, as a share of their variance, is how much it is needed (the saliency of Optimal Brain Surgeon, Hassibi and
    Stork, NIPS 1992, for the squared error of a layer, as in Frantar and Alistarh, Optimal Brain Compression, NeurIPS
    2022). The least needed quarter goes at a time, and all are weighed anew (this project's choice).
    """
    known = []
    for reader in readers:
        weight = (
            reader.weight.flatten(2).transpose(1, 2).flatten(0, 1)
            if reader.weight.ndim > 2
            else reader.weight
        )
        product = weight @ reader.moment.covariance
        known.append((product, reader.moment.covariance, float((product * weight).sum().clamp_min(1e-30))))
    left = torch.arange(len(known[0][1]))
    gone: list[Tensor] = []
    while len(left) > 1:
        needed = torch.zeros(len(left))
        for product, covariance, energy in known:
            inverse = _inverse(covariance[left][:, left])
            needed += ((product[:, left] @ inverse).square().sum(0) / inverse.diagonal()) / energy
        ascending = left[needed.argsort(stable=True)]
        gone.append(ascending[: -(-len(left) // 4)])
        left = ascending[-(-len(left) // 4) :].sort().values
    return torch.cat([*gone, left]).flip(0)


def predicted_from(kept: Tensor, dropped: Tensor, moment: Moment) -> tuple[Tensor, Tensor]:
    """Predict dropped channels linearly from kept ones: factors (dropped, kept) and offsets (dropped,)."""
    covariance = moment.covariance
    factors = covariance[dropped][:, kept] @ _inverse(covariance[kept][:, kept])
    return factors, moment.mean[dropped] - factors @ moment.mean[kept]


_RIDGE = 1e-2
"""Added to the diagonal of a covariance, as a share of its mean (this project's choice): there are few images."""


def _inverse(covariance: Tensor) -> Tensor:
    ridge = (_RIDGE * covariance.diagonal().mean()).clamp_min(1e-12)
    return torch.cholesky_inverse(torch.linalg.cholesky(covariance + ridge * torch.eye(len(covariance))))


class Moments:
    """What the layers of a parent read on images, and the order in which its channels are given up.

    Args:
        by_layer: By the names of layers, of the parent's tensors.
    """

    def __init__(self, by_layer: Mapping[str, Moment]) -> None:
        self._by_layer = by_layer
        self._orders: dict[str, Tensor] = {}

    def get(self, layer: str) -> Moment | None:
        """Return the moment of what a layer reads; None where it was not measured."""
        return self._by_layer.get(layer)

    def order(self, group: str, readers: Mapping[str, Tensor]) -> Tensor | None:
        """Return the channels of a group, the most needed first; None where none of its readers was measured.

        Args:
            group: Name of the group; the order is found once for each.
            readers: Weights of the layers that read it, by their names.
        """
        known = [
            Reader(weight, self._by_layer[name]) for name, weight in readers.items() if name in self._by_layer
        ]
        if not known:
            return None
        if group not in self._orders:
            self._orders[group] = elimination_order(known)
        return self._orders[group]
