"""Statistics of a space of children, tabulated part by part: every part of a network depends on few fields."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from narsfast import _native
from narsfast.arch import Definition, Family, NetworkSpec, Place, added, lower_header, lower_row
from narsfast.common.candidate import Value
from narsfast.errors import UserError
from narsfast.space import PARENT, RESOLUTION, Space

from ._child_keys import (
    ABSENT,
    BLOCK,
    CHILD_COLUMNS,
    HEAD,
    STEM,
    WHOLE,
    Columns,
    Keys,
    block_columns,
    head_columns,
    keys_of,
)
from ._counting import Counts, Totals, count_head, count_row, count_stem

MOST_ENTRIES = 2**22
"""Counts of a space's tables, of 56 bytes each (this project's choice)."""

Values = Mapping[str, Value]
Whole = Callable[[NetworkSpec, int, int], Sequence[int]]
"""Counts the statistics of a network for images of so many channels and so many classes."""


class _Part(NamedTuple):
    """A part of the children of one parent.

    Attributes:
        columns: Of the fields that decide what it is, after the resolution.
        entries: (values of resolution and of each of these fields..., statistics) int64; zeros where it is not there.
        keys: Returns (values..., `CHILD_COLUMNS`), by which a latency table knows it; `ABSENT` where it is not there.
    """

    columns: tuple[int, ...]
    entries: Counts
    keys: Callable[[], Keys]


def child_keys(space: Space, in_chans: int, num_classes: int, whole: Whole) -> Keys:
    """Return the keys of all different parts of a space of children, (n, `CHILD_COLUMNS`).

    Raises:
        UserError: As for `part_counter`, whose arguments these are.
    """
    parts = _all_parts(space, in_chans, num_classes, whole)
    found = [np.unique(part.keys().reshape(-1, len(CHILD_COLUMNS)), axis=0) for part, _ in parts]
    keys = np.unique(np.concatenate(found), axis=0)
    return np.array(keys[keys[:, 0] != ABSENT], np.int32)


def part_counter(
    space: Space,
    in_chans: int,
    num_classes: int,
    largest: int,
    whole: Whole,
    cost: Callable[[Keys], NDArray[np.float64]] | None = None,
) -> _native.PartCounter:
    """Return a native counter of a space of children.

    Args:
        space: The space, whose parents were loaded.
        in_chans: Channels of the images.
        num_classes: Outputs of the classifier.
        largest: The statistic of which the largest of the parts counts.
        whole: Counts the networks that take part whole.
        cost: Returns one more statistic (n,) of parts (n, `CHILD_COLUMNS`), a sum like the others; None is without.

    Raises:
        UserError: The parts have too many forms, or a network cannot take the images.
    """
    parts: list[tuple[int, int, int, int, int]] = []
    terms: list[tuple[int, int]] = []
    gates: list[tuple[int, int, int]] = []
    entries: list[NDArray[np.float64]] = []
    total = 0
    names = space.values(PARENT)
    for part, parent in _all_parts(space, in_chans, num_classes, whole):
        *sizes, statistics = part.entries.shape
        first_term, first_gate, step = len(terms), len(gates), 1
        for column, size in reversed(
            list(zip((space.column(RESOLUTION), *part.columns), sizes, strict=True))
        ):
            terms.append((column, step))
            step *= size
        if len(names) > 1:
            gene = names.index(parent)
            gates.append((space.column(PARENT), gene, gene))
        parts.append((first_term, len(terms), first_gate, len(gates), total))
        counted = part.entries.reshape(-1, statistics).astype(np.float64)
        if cost is not None:
            counted = np.column_stack([counted, cost(part.keys().reshape(step, -1))])
        entries.append(counted)
        total += step
    return _native.PartCounter(
        space.tables(),
        np.array(parts, np.int32).reshape(-1, 5),
        np.array(terms, np.int32).reshape(-1, 2),
        np.array(gates, np.int32).reshape(-1, 3),
        np.concatenate(entries),
        largest,
    )


def _all_parts(space: Space, in_chans: int, num_classes: int, whole: Whole) -> Iterator[tuple[_Part, str]]:
    """Yield the parts of all children, each with the name of its parent."""
    names, total = space.values(PARENT), 0
    for index, parent in enumerate(space.parents):
        if parent.name not in names:
            continue
        for part in _parts(space, index, in_chans, num_classes, whole):
            total += part.entries[..., 0].size
            if total > MOST_ENTRIES:
                raise UserError(
                    f"space {space.name}: the parts of its networks have over {MOST_ENTRIES:,} forms; give its fields "
                    "fewer values"
                )
            yield part, parent.name


def _parts(space: Space, index: int, in_chans: int, num_classes: int, whole: Whole) -> Iterator[_Part]:
    """Yield the parts of the children of the parent of this place."""
    parent = space.parents[index]
    resolutions = [int(value) for value in space.values(RESOLUTION)]
    if parent.definition is None:
        specs = [NetworkSpec(parent.source or parent.reference, resolution) for resolution in resolutions]
        entries = np.array([whole(spec, in_chans, num_classes) for spec in specs], np.int64)
        yield _Part((), entries, lambda: keys_of([{"in": in_chans}], WHOLE, index, resolutions)[:, 0])
        return
    tables = _Tables(space, index, num_classes)
    family = tables.family
    sides = np.array(resolutions)
    yield tables.stem(sides, in_chans)
    sides = (sides - 1) // 2 + 1
    for places in family.stages:
        depths = [int(depth) for depth in tables.values(f"stage{places[0].stage}.depth") or (len(places),)]
        for number in range(max(depths)):
            place = places[number] if number < len(places) else added(places[-1])
            yield tables.block(place, [number < depth for depth in depths], sides)
            if number < len(places):
                sides = place.sides(sides)
    yield tables.head(sides)


class _Tables:
    """Counts all forms of the parts of one parent's children.

    Args:
        space: The space.
        index: Place of the parent, a definition.
        num_classes: Outputs of the classifier.

    Attributes:
        family: The parent and its children.
    """

    def __init__(self, space: Space, index: int, num_classes: int) -> None:
        self._space = space
        self._index = index
        self._prefix = f"{space.parents[index].name}."
        self.family = Family(Definition.from_dict(space.parents[index].definition or {}))
        self._num_classes = num_classes
        self._known = {name for field in space.fields for name in field.fills}

    def values(self, field: str) -> tuple[Value, ...]:
        """Return the values of one of the parent's fields; none of one that the space does not have."""
        name = self._prefix + field
        return self._space.values(name) if name in self._known else ()

    def stem(self, sides: Counts, in_chans: int) -> _Part:
        """Count the stem on images of these sides (resolutions,)."""
        fields, forms = self._forms((self.family.stem.field,))
        widths = np.array([self.family.stem.of(values) for values in forms])
        totals, side, (width,) = _totals(sides, widths)
        count_stem(totals, in_chans, width, side)
        return self._part(
            fields, totals, lambda: [{"in": in_chans, "out": int(width)} for width in widths], STEM, sides
        )

    def block(self, place: Place, there: Sequence[bool], sides: Counts) -> _Part:
        """Count a block on maps of these sides (resolutions,); `there` says for which depths it exists."""
        fields, forms = self._forms(place.fields)
        rows = np.array([lower_row(place.child(values), self.family.parent) for values in forms], np.int64)
        inputs = np.array([place.into.of(values) for values in forms])
        totals, side, (channels, row) = _totals(sides, inputs, rows)
        count_row(totals, row, channels, side)
        parent = self.family.parent
        part = self._part(
            fields, totals, lambda: [block_columns(place, values, parent) for values in forms], BLOCK, sides
        )
        depth = f"stage{place.stage}.depth"
        if not self.values(depth):
            return part
        entries = np.stack([part.entries * present for present in there], axis=1)

        def keys() -> Keys:
            own = part.keys()
            return np.stack([own if present else np.full_like(own, ABSENT) for present in there], axis=1)

        return _Part((self._space.column(self._prefix + depth), *part.columns), entries, keys)

    def head(self, sides: Counts) -> _Part:
        """Count the head on maps of these sides (resolutions,)."""
        family = self.family
        fields, forms = self._forms((family.last.field, "head.width"))
        children = [family.child(values) for values in forms]
        headers = np.array([lower_header(child) for child in children], np.int64)
        channels = np.array([family.last.of(values) for values in forms])
        totals, side, (inputs, header) = _totals(sides, channels, headers)
        count_head(totals, header, inputs, side, self._num_classes)
        return self._part(fields, totals, lambda: list(map(head_columns, children)), HEAD, sides)

    def _forms(self, names: Sequence[str]) -> tuple[list[str], list[Values]]:
        """Return those of the fields that the space has, and all combinations of their values, the last one fastest."""
        fields = [name for name in dict.fromkeys(names) if self.values(name)]
        return fields, [
            dict(zip(fields, values, strict=True)) for values in product(*map(self.values, fields))
        ]

    def _part(
        self,
        fields: Sequence[str],
        totals: Totals,
        forms: Callable[[], list[Columns]],
        kind: int,
        sides: Counts,
    ) -> _Part:
        columns = tuple(self._space.column(self._prefix + name) for name in fields)
        statistics = totals.statistics()
        sizes = [len(sides), *(len(self.values(name)) for name in fields)]

        def keys() -> Keys:
            return keys_of(forms(), kind, self._index, sides.tolist()).reshape(*sizes, -1)

        return _Part(columns, statistics.reshape(*sizes, -1), keys)


def _totals(sides: Counts, *columns: Counts) -> tuple[Totals, Counts, list[Counts]]:
    """Return empty totals for all pairs of side and form, the sides (pairs,), and the forms' columns (pairs, ...)."""
    forms = len(columns[0])
    side = np.repeat(sides, forms)
    repeated = [np.tile(column, (len(sides), *([1] * (column.ndim - 1)))) for column in columns]
    return Totals(len(side)), side, repeated
