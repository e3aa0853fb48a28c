"""What the layers of a parent read on images: mean and covariance of their inputs, from which a child is fitted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    """Sums over the positions that were seen, of differences from the first batch's mean: little is lost by rounding."""

    def __init__(self) -> None:
        self._count = 0
        self._shift = self._first = self._second = torch.zeros(0)

    def add(self, x: Tensor) -> None:
        values = x.transpose(0, 1).flatten(1)
        if values.shape[1] > _POSITIONS:
            chosen = torch.randperm(values.shape[1], generator=torch.Generator().manual_seed(self._count))
            values = values[:, chosen[:_POSITIONS]]
        if self._count == 0:
            self._shift = values.mean(1)
            self._first = torch.zeros(len(values), dtype=torch.float64)
            self._second = torch.zeros(len(values), len(values), dtype=torch.float64)
        values = values - self._shift[:, None]
        self._count += values.shape[1]
        self._first += values.sum(1)
        self._second += values @ values.T

    def moment(self) -> Moment:
        mean = self._first / self._count
        covariance = self._second / self._count - mean[:, None] * mean
        return Moment((self._shift + mean).float(), covariance.float())


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

    A lost channel is replaced by its best linear prediction from those that are left. The one goes next whose loss costs
    the readers' outputs least, as a share of their variance (the saliency of Optimal Brain Surgeon, Hassibi and Stork,
    NIPS 1992, for the squared error of layers, as in Frantar and Alistarh, Optimal Brain Compression, NeurIPS 2022). A
    quarter of the channels goes at a time, out of the half that is least needed: a choice of this project, for speed.
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
        losses = []
        for product, covariance, energy in known:
            inverse = _inverse(covariance[left][:, left])
            losses.append(_Loss(inverse, product[:, left] @ inverse, energy))
        size = -(-len(left) // 4)
        least = _cost(losses).argsort(stable=True)[: 2 * size]
        for loss in losses:
            loss.narrow(least)
        places = least[_one_by_one(losses, size)]
        gone.append(left[places])
        rest = torch.ones(len(left), dtype=torch.bool)
        rest[places] = False
        left = left[rest]
    return torch.cat([*gone, left]).flip(0)


class _Loss:
    """What the loss of each channel costs one layer, with those gone that went before.

    Args:
        inverse: (n, n), of the covariance of the channels that are left.
        weight: (outputs, n), by which the outputs are predicted from these.
        energy: Variance of the outputs.
    """

    def __init__(self, inverse: Tensor, weight: Tensor, energy: float) -> None:
        self._inverse = inverse
        self._weight = weight
        self._energy = energy

    def of_each(self) -> Tensor:
        """Return the cost of each channel, as a share of the variance of the outputs."""
        return self._weight.square().sum(0) / self._inverse.diagonal().clamp_min(1e-30) / self._energy

    def narrow(self, channels: Tensor) -> None:
        """Go on with these channels alone; the others are left."""
        self._inverse = self._inverse[channels][:, channels]
        self._weight = self._weight[:, channels]

    def lose(self, channel: Tensor) -> None:
        """Take one channel out: the others take over what it said."""
        row = self._inverse[channel]
        shares = row / row[channel]
        self._weight = self._weight - torch.outer(self._weight[:, channel], shares)
        self._inverse = self._inverse - torch.outer(row, shares)


def _cost(losses: Sequence[_Loss]) -> Tensor:
    return torch.stack([loss.of_each() for loss in losses]).sum(0)


def _one_by_one(losses: Sequence[_Loss], count: int) -> Tensor:
    """Lose so many channels, at each step the one that costs least, and return them in this order (count,)."""
    lost: list[Tensor] = []
    gone: Tensor | None = None
    for _ in range(count):
        cost = _cost(losses)
        gone = torch.zeros(len(cost), dtype=torch.bool) if gone is None else gone
        channel = cost.masked_fill(gone, torch.inf).argmin()
        gone[channel] = True
        lost.append(channel)
        for loss in losses:
            loss.lose(channel)
    return torch.stack(lost)


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
