"""Children of a parent by a few numbers: the fields of the space around it, and the definition of each child.

Depths are numbers of blocks; widths are percent of the parent's channels, rounded to multiples of 8. The parent itself
is the child with every block, 100 percent of everything, and its own kernels and resolution.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from narsfast.common.candidate import Value
from narsfast.errors import UserError
from narsfast.space import round_width

from ._channels import channels_of
from ._definition import Definition
from ._plan import Block, blocks_of
from ._row import Row, hidden_width

WHOLE = 100
"""Percent of the parent's channels that are all of them."""
WIDTHS = (50, 62, 75, 87, WHOLE)
"""Percent of the channels between blocks that a space offers (this project's choice)."""
HIDDEN = (25, 37, 50, 75, WHOLE)
"""Percent of hidden channels that a space offers (this project's choice: most of the cost is in them)."""
KERNELS = (3, 5)
"""Kernels that a space offers beside the parent's own (this project's choice)."""
SMALLEST = 32
"""The smallest resolution that a space offers, pixels (this project's choice)."""
_STEP = 16  # of resolutions


class Width(NamedTuple):
    """Channels of a child.

    Attributes:
        channels: Those of the parent.
        field: The field with the share that is kept, as in ``stage1.width``.
    """

    channels: int
    field: str

    def of(self, values: Mapping[str, Value]) -> int:
        """Return the channels of the child with these values."""
        return _share(self.channels, values.get(self.field, WHOLE))


class Place(NamedTuple):
    """A block of the parent.

    Attributes:
        row: It alone, as a row.
        block: Its widths and settings.
        stage: Number of its stage, from 1.
        position: In the stage, from 0.
        into: Width of its input.
        out: Width of its output.
        stream: The group of channels that it adds to or writes.
    """

    row: Row
    block: Block
    stage: int
    position: int
    into: Width
    out: Width
    stream: str

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that decide what the block is in a child, but for the resolution and the depth."""
        stage = f"stage{self.stage}"
        own = [self.into.field, self.out.field]
        if self.expands:
            own.append(f"{stage}.hidden")
        if self.has_kernel:
            own.append(f"{stage}.kernel")
        return tuple(dict.fromkeys(own))

    @property
    def expands(self) -> bool:
        """Whether the block has hidden channels of its own."""
        return self.block.kind != "conv" and self.block.expands

    @property
    def has_kernel(self) -> bool:
        """Whether the block has a depthwise convolution whose kernel can be another."""
        return self.row.kind == "mbconv" and self.row.kernel > 0

    def sides(self, sides: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the sides (n,) of the block's output for those of its input."""
        if self.row.padding is None:
            return (sides - 1) // self.block.total_stride + 1
        return (sides + 2 * self.row.padding - self.row.kernel) // self.row.stride + 1

    def child(self, values: Mapping[str, Value]) -> Row:
        """Return the block of the child with these values, as a row."""
        into, width = self.into.of(values), self.out.of(values)
        changed: dict[str, Any] = {"channels": width}
        percent = values.get(f"stage{self.stage}.hidden", WHOLE)
        if self.block.kind != "conv":
            hidden = into
            if self.block.expands:
                hidden = _share(self.block.hidden, percent)
                hidden += 8 * (hidden == into)  # else the block would have no expansion
            if hidden_width(self.row._replace(channels=width), into) != hidden:
                changed |= {"expansion": None, "hidden": hidden}
            # Where the parent has no shortcut, equal widths do not make one.
            open_to_one = self.block.total_stride == 1 and into == width
            changed["shortcut"] = self.row.shortcut and (self.block.shortcut or not open_to_one)
        if isinstance(self.row.se_width, int) and percent != WHOLE:
            changed["se_width"] = _share(self.row.se_width, percent)
        kernel = int(values.get(f"stage{self.stage}.kernel", 0))
        if kernel and kernel != self.row.kernel and self.has_kernel:
            changed |= {"kernel": kernel, "padding": None}
        return self.row._replace(**changed)


class Family:
    """A parent and all its children.

    Args:
        parent: Definition of the parent.

    Attributes:
        parent: The same.
        stem: Width of the stem.
        stages: Its blocks, stage by stage.
        last: Width of the last block.
        head: Width of the head's first convolution; None: there is none.
    """

    def __init__(self, parent: Definition) -> None:
        self.parent = parent
        channels = channels_of(parent)
        self.stem = Width(parent.stem_channels, "stem.width")
        self.stages: list[list[Place]] = [[] for stage in parent.stages if stage]
        fields = {channels.streams[0]: "stem.width"}
        numbers: dict[int, int] = {}
        rows, blocks = _single_rows(parent), blocks_of(parent)
        for row, block, (before, after) in zip(rows, blocks, pairwise(channels.streams), strict=True):
            number = numbers.setdefault(block.stage, len(numbers) + 1)
            fields.setdefault(after, f"stage{number}.width")
            into, out = Width(block.in_channels, fields[before]), Width(block.channels, fields[after])
            stage = self.stages[number - 1]
            stage.append(Place(row, block, number, len(stage), into, out, after))
        self.last = self.stages[-1][-1].out if self.stages else self.stem
        size = channels.sizes.get("head")
        self.head = None if size is None else Width(size, "head.width")

    @cached_property
    def fields(self) -> dict[str, Any]:
        """The fields of the space around the parent, by name, in the form of a space file."""
        parent = self.parent
        fields: dict[str, Any] = {"resolution": _resolutions(parent)}
        fields["stem.width"] = _choices(_distinct([self.stem.channels], WIDTHS))
        for number, places in enumerate(self.stages, start=1):
            stage = f"stage{number}"
            fields[f"{stage}.depth"] = _range(_least_depth(places), len(places))
            widths = [place.out.channels for place in places if place.out.field == f"{stage}.width"]
            if widths:
                fields[f"{stage}.width"] = _choices(_distinct(widths, WIDTHS))
            if hidden := [place.block.hidden for place in places if place.expands]:
                fields[f"{stage}.hidden"] = _choices(_distinct(hidden, HIDDEN))
            if any(place.has_kernel for place in places):
                fields[f"{stage}.kernel"] = _choices(_kernels(places))
        if self.head is not None:
            fields["head.width"] = _choices(_distinct([self.head.channels], WIDTHS))
        return fields

    @cached_property
    def own(self) -> dict[str, Value]:
        """The values of the parent itself, for all fields but the resolution."""
        values: dict[str, Value] = {}
        for name in self.fields:
            stage, _, what = name.partition(".")
            places = self.stages[int(stage.removeprefix("stage")) - 1] if stage.startswith("stage") else []
            if what == "depth":
                values[name] = len(places)
            elif what == "kernel":
                found = {place.row.kernel for place in places if place.has_kernel}
                values[name] = found.pop() if 0 not in _kernels(places) else 0
            elif what:
                values[name] = WHOLE
        return values

    def child(self, values: Mapping[str, Value]) -> Definition:
        """Return the definition of a child.

        Args:
            values: By the names of `fields`; what is missing is the parent's. A depth beyond the parent's adds blocks
                like the last one.
        """
        stages = [_joined(list(self._rows(places, values))) for places in self.stages]
        update: dict[str, Any] = {
            "resolution": int(values.get("resolution", self.parent.resolution)),
            "stem_channels": self.stem.of(values),
            "stages": tuple(stages),
        }
        if self.head is not None:
            update |= self._head(values)
        return self.parent.model_copy(update=update)

    def _rows(self, places: Sequence[Place], values: Mapping[str, Value]) -> Iterator[Row]:
        depth = int(values.get(f"stage{places[0].stage}.depth", len(places)))
        for index in range(depth):
            place = places[min(index, len(places) - 1)]
            yield place.child(values) if index < len(places) else added(place).child(values)

    def _head(self, values: Mapping[str, Value]) -> dict[str, Any]:
        """Return the fields of the definition for the head's first convolution."""
        assert self.head is not None
        expansion, hidden = self.parent.head_expansion, self.head.of(values)
        if expansion is not None and round_width(self.last.of(values) * expansion) == hidden:
            return {}
        return {"head_expansion": None, "head_hidden": hidden}


def added(place: Place) -> Place:
    """Return the block that is added to a stage that ends with this one: with a shortcut, and no stride."""
    row = place.row._replace(stride=1, padding=None, shortcut=True)
    width = place.block.channels
    block = place.block._replace(
        in_channels=width,
        hidden=place.block.hidden if place.expands else width,
        stride=1,
        start_stride=1,
        shortcut=True,
    )
    return place._replace(row=row, block=block, into=place.out)


def _least_depth(places: Sequence[Place]) -> int:
    """Return the number of blocks up to the first that writes the stage's last channels, which the next stage reads."""
    last = next(place.position for place in places if place.stream == places[-1].stream)
    return last + 1


def _single_rows(definition: Definition) -> Iterator[Row]:
    """Yield a row for each block."""
    for row in definition.rows:
        yield row._replace(repeats=1)
        for _ in range(row.repeats - 1):
            yield row._replace(repeats=1, stride=1, padding=None)


def _joined(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Join equal rows of which only the first has a stride or a padding of its own."""
    joined: list[Row] = []
    for row in rows:
        last = joined[-1] if joined else None
        if last is not None and row == last._replace(stride=1, padding=None, repeats=1):
            joined[-1] = last._replace(repeats=last.repeats + 1)
        else:
            joined.append(row)
    return tuple(joined)


def _share(width: int, percent: Value) -> int:
    """Return so many percent of a width, a multiple of 8; all of it as it is."""
    if percent == WHOLE:
        return width
    share = round_width(width * int(percent) // WHOLE)
    return min(width, share) if int(percent) < WHOLE else share


def _distinct(widths: Sequence[int], percents: Sequence[int]) -> list[int]:
    """Return the percents that give different widths, of equal ones the largest."""
    by_widths = {tuple(_share(width, percent) for width in widths): percent for percent in percents}
    return sorted(by_widths.values())


def _kernels(places: Sequence[Place]) -> list[int]:
    """Return the kernels of a stage: 0, those of the parent, where they differ or a row has a padding of its own."""
    found = {place.row.kernel for place in places if place.has_kernel}
    if len(found) > 1 or any(place.row.padding is not None for place in places):
        return [0]
    return sorted({*KERNELS, *found})


def _resolutions(parent: Definition) -> Any:
    """Return resolutions up to the parent's own at which all its kernels fit their maps."""
    native = parent.resolution
    regular = [side for side in range(min(SMALLEST, native), native, _STEP) if _fits(parent, side)]
    if regular and (native - regular[-1]) == _STEP and len(regular) == (native - regular[0]) // _STEP:
        return {"range": [regular[0], native, _STEP]}
    return _choices([*regular, native])


def _fits(parent: Definition, resolution: int) -> bool:
    try:
        parent.model_copy(update={"resolution": resolution}).check()
    except UserError:
        return False
    return True


def _choices(values: Sequence[int]) -> Any:
    return {"choices": list(values)} if len(values) > 1 else values[0]


def _range(least: int, most: int) -> Any:
    return {"range": [least, most]} if most > least else most
