"""The groups of channels of a network, and which axes of its tensors they are: what inheritance of weights needs.

All tensors that read or write the same channels share a group. A residual stream is one group: the blocks along it add
to the same channels. Names of tensors are those of `Network.state_dict`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ._definition import Definition
from ._plan import Block, blocks_of, head_of

IMAGE = "image"
"""The group of the image's channels."""

CLASSES = "classes"
"""The group of the classifier's outputs."""


class Layer(NamedTuple):
    """A convolution or linear layer, with the norm after it.

    Attributes:
        name: Prefix of its tensors, ``weight`` and perhaps ``bias``.
        out: Group of its outputs.
        into: Group of its inputs; None of a depthwise convolution.
        norm: Prefix of the tensors of the norm after it; None: there is none.
        bias: Whether it has a bias.
        kernel: Side of its kernel.
    """

    name: str
    out: str
    into: str | None
    norm: str | None
    bias: bool = False
    kernel: int = 1


class Channels(NamedTuple):
    """The groups of channels of a network.

    Attributes:
        stem: The stem's layer.
        blocks: The layers of each block, in order.
        head: The layers of the head.
        streams: The group of the stem's outputs, and of those of each block.
        sizes: Channels of each group but those of the image and the classes.
    """

    stem: list[Layer]
    blocks: list[list[Layer]]
    head: list[Layer]
    streams: list[str]
    sizes: dict[str, int]

    @property
    def layers(self) -> list[Layer]:
        """All layers."""
        return [*self.stem, *(layer for block in self.blocks for layer in block), *self.head]


def channels_of(definition: Definition) -> Channels:
    """Return the groups of channels of a definition's network."""
    stem = "stem"
    streams = [stem]
    sizes = {stem: definition.stem_channels}
    layers: list[list[Layer]] = []
    for name, block in zip(block_names(definition), blocks_of(definition), strict=True):
        stream = streams[-1] if block.shortcut else f"{name}.out"
        sizes[stream] = block.channels
        hidden = f"{name}.hidden" if _has_hidden(block) else streams[-1]
        if hidden != streams[-1]:
            sizes[hidden] = block.hidden
        if block.squeezed:
            sizes[f"{name}.se"] = block.squeezed
        layers.append(list(_layers(name, block, streams[-1], hidden, stream)))
        streams.append(stream)
    head = head_of(definition)
    into = streams[-1]
    head_layers = []
    if head.hidden:
        sizes["head"] = head.hidden
        head_layers.append(Layer("head.expand.0", "head", into, "head.expand.1"))
        into = "head"
    if head.features:
        sizes["features"] = head.features
        norm = "head.norm" if head.norm else None
        head_layers.append(Layer("head.features", "features", into, norm, bias=head.bias))
        into = "features"
    head_layers.append(Layer("head.classifier", CLASSES, into, None, bias=True))
    stem_layer = Layer("stem.0", stem, IMAGE, "stem.1", kernel=3)
    return Channels([stem_layer], layers, head_layers, streams, sizes)


def block_names(definition: Definition) -> list[str]:
    """Return the prefix of each block's tensors."""
    names = []
    for stage, rows in enumerate(filter(None, definition.stages)):
        names += [f"stages.{stage}.{index}" for index in range(sum(row.repeats for row in rows))]
    return names


def _has_hidden(block: Block) -> bool:
    """Whether a block has channels of its own between input and output."""
    return block.kind != "conv" and block.expands


def _layers(name: str, block: Block, into: str, hidden: str, out: str) -> Iterator[Layer]:
    if block.kind == "conv":
        yield Layer(f"{name}.0", out, into, f"{name}.1", kernel=block.kernel)
        return
    if block.kind == "fused":
        wide = hidden if block.expands else out
        yield Layer(f"{name}.expand.0", wide, into, f"{name}.expand.1", kernel=block.kernel)
        yield from _excite(f"{name}.se", block, wide, f"{name}.se")
        if block.expands:
            yield Layer(f"{name}.project.0", out, hidden, f"{name}.project.1")
        return
    if block.start_kernel:
        yield Layer(f"{name}.start.0", into, None, f"{name}.start.1", kernel=block.start_kernel)
    if block.expands:
        yield Layer(f"{name}.expand.0", hidden, into, f"{name}.expand.1")
    if block.kernel:
        norm = f"{name}.depthwise.norm"
        yield Layer(f"{name}.depthwise.conv", hidden, None, norm, kernel=block.kernel)
        yield from _excite(f"{name}.depthwise.se", block, hidden, f"{name}.se")
    yield Layer(f"{name}.project.0", out, hidden, f"{name}.project.1")


def _excite(name: str, block: Block, gated: str, squeezed: str) -> Iterator[Layer]:
    if block.squeezed:
        yield Layer(f"{name}.reduce", squeezed, gated, None, bias=True)
        yield Layer(f"{name}.expand", gated, squeezed, None, bias=True)
