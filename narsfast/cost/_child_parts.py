"""Statistics of a space of children, tabulated part by part: every part of a network depends on few fields."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from narsfast import _native
from narsfast.arch import Definition, Family, NetworkSpec, Place, added, lower_header, lower_row
from narsfast.common.candidate import Value
from narsfast.errors import UserError
from narsfast.space import PARENT, RESOLUTION, ParentDocument, Space

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
    """

    columns: tuple[int, ...]
    entries: Counts


def part_counter(
    space: Space, in_chans: int, num_classes: int, largest: int, whole: Whole
) -> _native.PartCounter:
    """Return a native counter of a space of children.

    Args:
        space: The space, whose parents were loaded.
        in_chans: Channels of the images.
        num_classes: Outputs of the classifier.
        largest: The statistic of which the largest of the parts counts.
        whole: Counts the networks that take part whole.

    Raises:
        UserError: The parts have too many forms, or a network cannot take the images.
    """
    parts: list[tuple[int, int, int, int, int]] = []
    terms: list[tuple[int, int]] = []
    gates: list[tuple[int, int, int]] = []
    entries: list[Counts] = []
    total = 0
    names = space.values(PARENT)
    for parent in space.parents:
        if parent.name not in names:
            continue
        for part in _parts(space, parent, in_chans, num_classes, whole):
            *sizes, statistics = part.entries.shape
            first_term, first_gate, step = len(terms), len(gates), 1
            for column, size in reversed(
                list(zip((space.column(RESOLUTION), *part.columns), sizes, strict=True))
            ):
                terms.append((column, step))
                step *= size
            if len(names) > 1:
                gene = names.index(parent.name)
                gates.append((space.column(PARENT), gene, gene))
            parts.append((first_term, len(terms), first_gate, len(gates), total))
            entries.append(part.entries.reshape(-1, statistics))
            total += step
            if total > MOST_ENTRIES:
                raise UserError(
                    f"space {space.name}: the parts of its networks have over {MOST_ENTRIES:,} forms; give its fields "
                    "fewer values"
                )
    return _native.PartCounter(
        space.tables(),
        np.array(parts, np.int32).reshape(-1, 5),
        np.array(terms, np.int32).reshape(-1, 2),
        np.array(gates, np.int32).reshape(-1, 3),
        np.concatenate(entries).astype(np.float64),
        largest,
    )


def _parts(
    space: Space, parent: ParentDocument, in_chans: int, num_classes: int, whole: Whole
) -> Iterator[_Part]:
    """Yield the parts of the children of a parent."""
    resolutions = [int(value) for value in space.values(RESOLUTION)]
    if parent.definition is None:
        specs = [NetworkSpec(parent.source or parent.reference, resolution) for resolution in resolutions]
        yield _Part((), np.array([whole(spec, in_chans, num_classes) for spec in specs], np.int64))
        return
    family = Family(Definition.from_dict(parent.definition))
    tables = _Tables(space, parent.name, family, num_classes)
    sides = np.array(resolutions)
    yield tables.stem(sides, in_chans)
    sides = (sides - 1) // 2 + 1
    for places in family.stages:
        depths = [int(depth) for depth in tables.values(f"stage{places[0].stage}.depth") or (len(places),)]
        for index in range(max(depths)):
            place = places[index] if index < len(places) else added(places[-1])
            yield tables.block(place, [index < depth for depth in depths], sides)
            if index < len(places):
                sides = place.sides(sides)
    yield tables.head(sides)


class _Tables:
    """Counts all forms of the parts of one parent's children.

    Args:
        space: The space.
        parent: Name of the parent.
        family: The parent and its children.
        num_classes: Outputs of the classifier.
    """

    def __init__(self, space: Space, parent: str, family: Family, num_classes: int) -> None:
        self._space = space
        self._prefix = f"{parent}."
        self._family = family
        self._num_classes = num_classes
        self._known = {name for field in space.fields for name in field.fills}

    def values(self, field: str) -> tuple[Value, ...]:
        """Return the values of one of the parent's fields; none of one that the space does not have."""
        name = self._prefix + field
        return self._space.values(name) if name in self._known else ()

    def stem(self, sides: Counts, in_chans: int) -> _Part:
        """Count the stem on images of these sides (resolutions,)."""
        fields, forms = self._forms((self._family.stem.field,))
        widths = np.array([self._family.stem.of(values) for values in forms])
        totals, side, (width,) = _totals(sides, widths)
        count_stem(totals, in_chans, width, side)
        return self._part(fields, totals, len(sides))

    def block(self, place: Place, there: Sequence[bool], sides: Counts) -> _Part:
        """Count a block on maps of these sides (resolutions,); `there` says for which depths it exists."""
        fields, forms = self._forms(place.fields)
        rows = np.array([lower_row(place.child(values), self._family.parent) for values in forms], np.int64)
        inputs = np.array([place.into.of(values) for values in forms])
        totals, side, (channels, row) = _totals(sides, inputs, rows)
        count_row(totals, row, channels, side)
        part = self._part(fields, totals, len(sides))
        depth = f"stage{place.stage}.depth"
        if not self.values(depth):
            return part
        entries = np.stack([part.entries * present for present in there], axis=1)
        return _Part((self._space.column(self._prefix + depth), *part.columns), entries)

    def head(self, sides: Counts) -> _Part:
        """Count the head on maps of these sides (resolutions,)."""
        family = self._family
        fields, forms = self._forms((family.last.field, "head.width"))
        headers = np.array([lower_header(family.child(values)) for values in forms], np.int64)
        channels = np.array([family.last.of(values) for values in forms])
        totals, side, (inputs, header) = _totals(sides, channels, headers)
        count_head(totals, header, inputs, side, self._num_classes)
        return self._part(fields, totals, len(sides))

    def _forms(self, names: Sequence[str]) -> tuple[list[str], list[Values]]:
        """Return those of the fields that the space has, and all combinations of their values, the last one fastest."""
        fields = [name for name in dict.fromkeys(names) if self.values(name)]
        return fields, [
            dict(zip(fields, values, strict=True)) for values in product(*map(self.values, fields))
        ]

    def _part(self, fields: Sequence[str], totals: Totals, sides: int) -> _Part:
        columns = tuple(self._space.column(self._prefix + name) for name in fields)
        statistics = totals.statistics()
        sizes = [len(self.values(name)) for name in fields]
        return _Part(columns, statistics.reshape(sides, *sizes, statistics.shape[1]))


def _totals(sides: Counts, *columns: Counts) -> tuple[Totals, Counts, list[Counts]]:
    """Return empty totals for all pairs of side and form, the sides (pairs,), and the forms' columns (pairs, ...)."""
    forms = len(columns[0])
    side = np.repeat(sides, forms)
    repeated = [np.tile(column, (len(sides), *([1] * (column.ndim - 1)))) for column in columns]
    return Totals(len(side)), side, repeated
