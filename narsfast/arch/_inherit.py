"""Weights of a child network from those of its parent, by their definitions alone.

A child is a parent with fewer or more channels, blocks and kernel pixels. Of each group of channels (`Channels`) it
keeps the most important ones, the same ones in every tensor of the group; of each stage the first blocks; of a kernel
its middle. Where it is known what the parent's layers read on images (`Moments`), those channels are kept that the
others are best predicted from, and the layers that read them take in the prediction. What a child has more of is added
so that it computes the same function: copies of channels that nothing reads yet, blocks whose last norm is zero, kernels
with a border of zeros (Net2Net, Chen et al., ICLR 2016, with zeros in the place of shared outgoing weights).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from narsfast.common.seeds import derive_seed
from narsfast.errors import UserError

from ._channels import CLASSES, IMAGE, Channels, Layer, channels_of
from ._definition import Definition
from ._moments import Moment, Moments, predicted_from

Importance = Literal["l1", "scaled", "norm", "random"]
"""How channels are ranked without moments.

"l1": the L1 norm of a channel's incoming weights (Li et al., ICLR 2017); "scaled": the same times what its norm
multiplies them by; "norm": the scale of its norm alone (Liu et al., Network Slimming, ICCV 2017); "random": drawn, to
compare with. Of a group that several layers write, each layer's values are divided by their mean, and added.
"""

_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
_EPS = 1e-3


class Inheritance:
    """What a child inherits from a parent, worked out once for any weights.

    Args:
        parent: Definition of the parent.
        child: Definition of the child: as many stages, of the same kinds of blocks.

    Raises:
        UserError: The child is none of this parent; the sentence says where.
    """

    def __init__(self, parent: Definition, child: Definition) -> None:
        self._parent, self._child = channels_of(parent), channels_of(child)
        self._parent_name = parent.name
        self._eps = parent.norm_eps
        self._groups = {IMAGE: IMAGE, CLASSES: CLASSES}
        self._layers: list[tuple[Layer, Layer]] = []
        self._added: list[list[Layer]] = []
        self._match("the stem", self._child.stem, self._parent.stem)
        for place, origin in enumerate(_origins(parent, child)):
            if origin is None:
                self._add(place)
            else:
                self._match(f"block {place}", self._child.blocks[place], self._parent.blocks[origin])
        self._match("the head", self._child.head, self._parent.head)

    def _match(self, where: str, child: list[Layer], parent: list[Layer]) -> None:
        """Pair the layers of a part, and with them their groups of channels."""
        own, others = ([_kind(layer) for layer in layers] for layers in (child, parent))
        if own != others:
            raise UserError(
                f"{where} of the child has the layers {', '.join(own)}, and in the parent {self._parent_name!r} it has "
                f"{', '.join(others)}; a child differs in widths, depths and kernels alone"
            )
        for layer, origin in zip(child, parent, strict=True):
            for group, source in ((layer.out, origin.out), (layer.into, origin.into)):
                if group is None or source is None:
                    continue
                if self._groups.setdefault(group, source) != source:
                    raise UserError(
                        f"{where} of the child adds to channels that are not those of the parent "
                        f"{self._parent_name!r} ({group}); give a row shortcut: false where the parent has none"
                    )
            self._layers.append((layer, origin))

    def _add(self, place: int) -> None:
        streams = self._child.streams
        if streams[place] != streams[place + 1]:
            raise UserError(
                f"block {place} of the child is one more than the parent {self._parent_name!r} has in its stage, and "
                "has no shortcut; only blocks with one can be added"
            )
        self._added.append(self._child.blocks[place])

    def __call__(
        self,
        weights: Mapping[str, Tensor],
        *,
        importance: Importance = "l1",
        moments: Moments | None = None,
        in_chans: int | None = None,
        seed: int = 0,
    ) -> dict[str, Tensor]:
        """Return the child's weights.

        Args:
            weights: The parent's, by the names of `Network.state_dict`.
            importance: How channels are ranked where there are no moments.
            moments: What the parent's layers read (`measured`); None goes by the weights alone.
            in_chans: Channels of the child's images; None: those of the parent's. For 1, the stem's weights are summed
                over the parent's channels, which is exact for an image whose channels are equal, normalized alike.
            seed: Of ``random``.

        Returns:
            The tensors of the child's network, in memory of their own. The classifier has the parent's classes.

        Raises:
            UserError: A weight is missing or of another shape, or the parent takes images of other channels.
        """
        _check(self._parent, weights, self._parent_name)
        chosen = self._chosen(weights, importance, moments, seed)
        result: dict[str, Tensor] = {}
        for layer, origin in self._layers:
            out = chosen.get(layer.out)
            own = {role: _taken(weights[name], out) for role, name in _names(origin).items()}
            into = None if layer.into is None else chosen.get(layer.into)
            if into is not None:
                moment = None if moments is None else moments.get(origin.name)
                own |= _reading(own, into, moment, self._eps)
            own["weight"] = _resized(own["weight"], layer.kernel)
            result |= {name: own[role] for role, name in _names(layer).items()}
        for layers in self._added:
            result |= _fresh(layers, self._child.sizes, seed)
        if in_chans is not None:
            stem = f"{self._child.stem[0].name}.weight"
            result[stem] = _for_images(result[stem], in_chans, self._parent_name)
        return result

    @property
    def shrinks(self) -> bool:
        """Whether the child lacks channels of the parent, so that moments make a difference."""
        return any(size < self._parent.sizes[self._groups[group]] for group, size in self._changed.items())

    @cached_property
    def _changed(self) -> dict[str, int]:
        """The sizes of those groups of the child that the parent has in another size."""
        sizes = self._child.sizes
        return {
            group: sizes[group]
            for group, source in self._groups.items()
            if group in sizes and sizes[group] != self._parent.sizes[source]
        }

    def _chosen(
        self, weights: Mapping[str, Tensor], importance: Importance, moments: Moments | None, seed: int
    ) -> dict[str, _Chosen]:
        """Return the parent's channels that each group of the child has, unless they are all of them."""
        if not self._changed:
            return {}
        sources = {self._groups[group] for group in self._changed}
        values = _importances(self._parent, weights, importance, sources, seed)
        ranked = {source: torch.argsort(own, descending=True, stable=True) for source, own in values.items()}
        if moments is not None:
            for source in sources:
                readers = {
                    layer.name: weights[f"{layer.name}.weight"]
                    for layer in self._parent.layers
                    if layer.into == source
                }
                order = moments.order(source, readers)
                ranked[source] = ranked[source] if order is None else order
        return {group: _choose(ranked[self._groups[group]], size) for group, size in self._changed.items()}


@dataclass(frozen=True)
class _Chosen:
    """Channels of a group.

    Attributes:
        source: (size,) int64, the parent's channel that each is taken from.
        dropped: (others,) int64, the parent's channels that the child lacks.
        kept: How many, from the first on, are not copies of others.
    """

    source: Tensor
    dropped: Tensor
    kept: int


def _choose(ranked: Tensor, size: int) -> _Chosen:
    """Choose the first channels, in the parent's order; where more are wanted, all and copies of the first ones."""
    if size <= len(ranked):
        return _Chosen(ranked[:size].sort().values, ranked[size:].sort().values, size)
    copies = ranked.repeat(-(-size // len(ranked)))[: size - len(ranked)]
    return _Chosen(torch.cat([torch.arange(len(ranked)), copies]), ranked[:0], len(ranked))


def _names(layer: Layer) -> dict[str, str]:
    """Return the tensors of a layer and its norm, by what they are to it."""
    names = {"weight": f"{layer.name}.weight"}
    if layer.bias:
        names["bias"] = f"{layer.name}.bias"
    if layer.norm is not None:
        names |= {f"norm.{name}": f"{layer.norm}.{name}" for name in _NORM}
    return names


def _reading(
    own: Mapping[str, Tensor], into: _Chosen, moment: Moment | None, eps: float
) -> dict[str, Tensor]:
    """Return the tensors of a layer that change where it reads other channels than the parent's.

    Args:
        own: Its tensors, with the parent's inputs.
        into: The channels that it reads.
        moment: Of what the parent's layer reads; None: dropped channels are left out.
        eps: Of the norms.
    """
    weight = own["weight"].index_select(1, into.source)
    weight[:, into.kept :] = 0  # nothing reads the copies yet
    if moment is None or not len(into.dropped):
        return {"weight": weight}
    factors, offsets = predicted_from(into.source, into.dropped, moment)
    lost = own["weight"].index_select(1, into.dropped)
    weight = weight + torch.einsum("od...,dk->ok...", lost, factors)
    changed = {"weight": weight}
    offset = lost.flatten(2).sum(2) @ offsets if lost.ndim > 2 else lost @ offsets
    if "bias" in own:
        changed["bias"] = own["bias"] + offset
    elif "norm.running_mean" in own:
        changed["norm.running_mean"] = own["norm.running_mean"] - offset
    if "norm.running_var" in own and weight[0, 0].numel() == 1:
        changed |= _same_scale(own, weight, into, moment, eps)
    return changed


def _same_scale(
    own: Mapping[str, Tensor], weight: Tensor, into: _Chosen, moment: Moment, eps: float
) -> dict[str, Tensor]:
    """Return variance and scale of the norm after a layer, whose outputs vary less as they are predicted."""
    before = _variances(own["weight"].flatten(1), moment.covariance)
    after = _variances(weight.flatten(1), moment.covariance[into.source][:, into.source])
    variance = own["norm.running_var"]
    reduced = variance * (after / before.clamp_min(1e-12)).clamp(1e-3, 1.0)
    return {
        "norm.running_var": reduced,
        "norm.weight": own["norm.weight"] * ((reduced + eps) / (variance + eps)).sqrt(),
    }


def _variances(weight: Tensor, covariance: Tensor) -> Tensor:
    return ((weight @ covariance) * weight).sum(1)


def _importances(
    parent: Channels, weights: Mapping[str, Tensor], importance: Importance, groups: set[str], seed: int
) -> dict[str, Tensor]:
    """Return the importance of each channel of these groups, float32 of their sizes."""
    values = {group: torch.zeros(parent.sizes[group]) for group in sorted(groups)}
    if importance == "random":
        generator = torch.Generator().manual_seed(seed)
        return {group: torch.rand(len(zeros), generator=generator) for group, zeros in values.items()}
    for layer in parent.layers:
        # The second layer of a squeeze-excite only scales what others write.
        if layer.out in values and not layer.name.endswith(".se.expand"):
            own = _OF_LAYER[importance](layer, weights)
            values[layer.out] += own / own.mean().clamp_min(torch.finfo(own.dtype).tiny)
    return values


def _scaled(layer: Layer, weights: Mapping[str, Tensor]) -> Tensor:
    values = _l1(layer, weights)
    if layer.norm is None:
        return values
    # The epsilon is that of most networks: without one, channels that never vary would be the most important.
    return values * _norm(layer, weights) / (weights[f"{layer.norm}.running_var"].float() + _EPS).sqrt()


def _norm(layer: Layer, weights: Mapping[str, Tensor]) -> Tensor:
    if layer.norm is None:
        return _l1(layer, weights)
    return weights[f"{layer.norm}.weight"].float().abs()


def _l1(layer: Layer, weights: Mapping[str, Tensor]) -> Tensor:
    return weights[f"{layer.name}.weight"].float().abs().flatten(1).sum(1)


_OF_LAYER: Mapping[str, Callable[[Layer, Mapping[str, Tensor]], Tensor]] = {
    "scaled": _scaled,
    "norm": _norm,
    "l1": _l1,
}


def _taken(tensor: Tensor, chosen: _Chosen | None) -> Tensor:
    """Return the chosen entries of the first axis, in memory of their own."""
    return tensor.clone() if chosen is None or not tensor.ndim else tensor.index_select(0, chosen.source)


def _resized(weight: Tensor, kernel: int) -> Tensor:
    """Return the middle of larger kernels; give smaller ones a border of zeros."""
    if weight.ndim < 4 or weight.shape[-1] == kernel:
        return weight
    border = (kernel - weight.shape[-1]) // 2  # negative: cut
    return torch.nn.functional.pad(weight, [border] * 4)


def _for_images(weight: Tensor, in_chans: int, name: str) -> Tensor:
    """Return the stem's weights for images of so many channels."""
    channels = weight.shape[1]
    if in_chans == channels:
        return weight
    if in_chans == 1:
        return weight.sum(1, keepdim=True)
    raise UserError(
        f"the parent {name!r} takes images of {channels} channels, and these have {in_chans}; give images of "
        f"{channels}, or gray ones"
    )


def _kind(layer: Layer) -> str:
    """Return what a layer is in its block, whatever its widths and kernel."""
    part = layer.name.split(".", 3)[-1] if layer.name.startswith("stages.") else layer.name
    return f"{part}{'' if layer.norm is None else ' with norm'}{' with bias' if layer.bias else ''}"


def _fresh(layers: list[Layer], sizes: Mapping[str, int], seed: int) -> dict[str, Tensor]:
    """Return weights of a block that changes nothing yet: drawn as those of new networks, the last norm zero."""
    generator = torch.Generator().manual_seed(derive_seed(seed, layers[0].name))
    result: dict[str, Tensor] = {}
    for layer in layers:
        out, pixels = sizes[layer.out], layer.kernel**2
        inputs = 1 if layer.into is None else sizes[layer.into]
        weight = torch.randn(out, inputs, layer.kernel, layer.kernel, generator=generator)
        result[f"{layer.name}.weight"] = weight * math.sqrt(2 / (out * pixels))
        if layer.bias:
            result[f"{layer.name}.bias"] = torch.zeros(out)
        if layer.norm is not None:
            result[f"{layer.norm}.weight"] = torch.full((out,), 0.0 if layer is layers[-1] else 1.0)
            result[f"{layer.norm}.bias"] = torch.zeros(out)
            result[f"{layer.norm}.running_mean"] = torch.zeros(out)
            result[f"{layer.norm}.running_var"] = torch.ones(out)
            result[f"{layer.norm}.num_batches_tracked"] = torch.tensor(0)
    return result


def _origins(parent: Definition, child: Definition) -> list[int | None]:
    """Return the parent's block that each block of the child comes from, None of one that the parent does not have."""
    own, others = _depths(child), _depths(parent)
    if len(own) != len(others) or any((a == 0) != (b == 0) for a, b in zip(own, others, strict=True)):
        raise UserError(
            f"the child has {len(own)} stages of {own} blocks and the parent {parent.name!r} {len(others)} of {others}; "
            "a child has every stage of its parent"
        )
    origins: list[int | None] = []
    first = 0
    for depth, available in zip(own, others, strict=True):
        origins += [first + index if index < available else None for index in range(depth)]
        first += available
    return origins


def _depths(definition: Definition) -> list[int]:
    return [sum(row.repeats for row in rows) for rows in definition.stages]


def _check(channels: Channels, weights: Mapping[str, Tensor], name: str) -> None:
    """Refuse weights that are not those of a network with these layers."""
    for layer in channels.layers:
        tensor = weights.get(f"{layer.name}.weight")
        size = channels.sizes.get(layer.out)
        if tensor is None or (size is not None and len(tensor) != size):
            found = "missing" if tensor is None else f"of {len(tensor)} channels"
            raise UserError(
                f"the weights of the parent {name!r}: {layer.name}.weight is {found}, and its definition needs "
                f"{size or 'it'}"
            )
