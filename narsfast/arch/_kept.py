"""How much of its parent a candidate keeps, stage by stage: what cards, reports and tables say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from narsfast.common.candidate import Candidate
from narsfast.space import PARENT, Space

from ._channels import CLASSES, IMAGE, Channels, channels_of
from ._definition import Definition
from ._plan import Block, blocks_of
from ._spec import specs_of

Pair = tuple[int, int]
"""A number of the child, and that of the parent."""
_IMAGE_CHANNELS = 3


@dataclass(frozen=True)
class KeptPart:
    """What a child has of one stage of its parent, of the stem or of the head.

    Attributes:
        name: ``stem``, ``stage1`` and so on, ``head``.
        blocks: Blocks.
        channels: Channels of the output; of the head those of its first convolution.
        hidden: Hidden channels of the first block that has any; None where none has.
        kernel: Of the first block with a depthwise convolution; None where none has one.
    """

    name: str
    blocks: Pair
    channels: Pair
    hidden: Pair | None = None
    kernel: Pair | None = None


@dataclass(frozen=True)
class Kept:
    """What a candidate has of its parent.

    Attributes:
        parent: Name of the parent.
        resolution: Side of the candidate's images, and of those that the parent was trained on (0: not known), pixels.
        weights: Elements of the kernels of all convolutions; (0, 0) of a network that takes part whole.
        parts: Stem, stages and head, in order; none of a network that takes part whole.
    """

    parent: str
    resolution: Pair
    weights: Pair = (0, 0)
    parts: tuple[KeptPart, ...] = ()

    @property
    def share(self) -> float:
        """Share of the parent's weights, 1 of a network that takes part whole."""
        return self.weights[0] / self.weights[1] if self.weights[1] else 1.0

    @property
    def as_it_is(self) -> bool:
        """Whether the candidate is the parent with all that it has, at whatever resolution."""
        pairs = [
            pair for part in self.parts for pair in (part.blocks, part.channels, part.hidden, part.kernel)
        ]
        return all(pair is None or pair[0] == pair[1] for pair in (*pairs, self.weights))

    def text(self) -> str:
        """Return a few words for a cell of a table: ``efficientnet_lite0 at 96 px, 37 % of its weights``."""
        how = "as it is" if self.as_it_is else f"{100 * self.share:.0f} % of its weights"
        return f"{self.parent} at {self.resolution[0]} px, {how}"

    def rows(self) -> list[tuple[str, ...]]:
        """Return the rows of a table with the columns `KEPT_COLUMNS`, the resolution first."""
        side, native = self.resolution
        top = ("resolution", "", f"{side} px" + (f" of {native}" if native else ""), "", "")
        return [
            top,
            *((part.name, *(_of(getattr(part, number)) for number in _NUMBERS)) for part in self.parts),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Kept:
        """Read what `to_dict` wrote, also from JSON.

        Raises:
            KeyError: Something is missing.
            TypeError: Something is of another type.
        """

        def pair(value: Any) -> Any:
            return tuple(value) if isinstance(value, list | tuple) else value

        parts = tuple(
            KeptPart(part["name"], *map(pair, (part[n] for n in _NUMBERS))) for part in data["parts"]
        )
        return cls(data["parent"], pair(data["resolution"]), pair(data["weights"]), parts)


_NUMBERS = ("blocks", "channels", "hidden", "kernel")
KEPT_COLUMNS = ("part", "blocks", "channels", "hidden channels", "kernel")
"""Columns of `Kept.rows`."""


def kept_of(space: Space, candidates: Sequence[Candidate]) -> list[Kept | None]:
    """Return what n candidates of a space keep of their parents; None of a space that has none to choose from."""
    if not space.has(PARENT):
        return [None] * len(candidates)
    parents = {parent.name: parent for parent in space.parents}
    definitions = {
        name: Definition.from_dict(parent.definition) for name, parent in parents.items() if parent.definition
    }
    result: list[Kept | None] = []
    for candidate, spec in zip(candidates, specs_of(space, candidates), strict=True):
        name = str(candidate.architecture[PARENT])
        if isinstance(spec.source, str):
            result.append(Kept(name, (spec.resolution, parents[name].resolution or 0)))
        else:
            result.append(kept(name, definitions[name], spec.source))
    return result


def kept(name: str, parent: Definition, child: Definition) -> Kept:
    """Return what a child keeps of its parent.

    Args:
        name: Of the parent.
        parent: Its definition.
        child: As many stages, of the same kinds of blocks.
    """
    before, after = channels_of(parent), channels_of(child)
    parts = [KeptPart("stem", (1, 1), (after.sizes["stem"], before.sizes["stem"]))]
    stages = zip(_stages(child), _stages(parent), strict=True)
    parts += [_stage(f"stage{number}", own, others) for number, (own, others) in enumerate(stages, start=1)]
    if "head" in before.sizes:
        parts.append(KeptPart("head", (1, 1), (after.sizes["head"], before.sizes["head"])))
    return Kept(
        name, (child.resolution, parent.resolution), (_weights(after), _weights(before)), tuple(parts)
    )


def _stage(name: str, own: list[Block], others: list[Block]) -> KeptPart:
    def first(blocks: list[Block], number: str) -> int | None:
        return next((getattr(block, number) for block in blocks if _has(block, number)), None)

    def pair(number: str) -> Pair | None:
        here, there = first(own, number), first(others, number)
        return None if here is None or there is None else (here, there)

    return KeptPart(
        name, (len(own), len(others)), (own[-1].channels, others[-1].channels), pair("hidden"), pair("kernel")
    )


def _has(block: Block, number: str) -> bool:
    return block.kind != "conv" and block.expands if number == "hidden" else block.kernel > 0


def _stages(definition: Definition) -> list[list[Block]]:
    """Return the blocks of each stage that has any."""
    stages: dict[int, list[Block]] = {}
    for block in blocks_of(definition):
        stages.setdefault(block.stage, []).append(block)
    return list(stages.values())


def _weights(channels: Channels) -> int:
    """Count the elements of kernels, without those of the classifier."""
    sizes = {**channels.sizes, IMAGE: _IMAGE_CHANNELS}
    return sum(
        sizes[layer.out] * (1 if layer.into is None else sizes[layer.into]) * layer.kernel**2
        for layer in channels.layers
        if layer.out != CLASSES
    )


def _of(pair: Pair | None) -> str:
    if pair is None:
        return ""
    return f"all {pair[0]}" if pair[0] == pair[1] else f"{pair[0]} of {pair[1]}"
