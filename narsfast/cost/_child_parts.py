"""Statistics of a space of children, tabulated part by part: every part of a network depends on few fields."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from narsfast import _native
from narsfast.arch import Definition, Family, NetworkSpec, Place, added, lower_definitions
from narsfast.common.candidate import Value
from narsfast.errors import UserError
from narsfast.space import PARENT, RESOLUTION, ParentDocument, Space

MOST_ENTRIES = 2**22
"""Entries of a space's tables, of 56 bytes each (this project's choice)."""

Values = Mapping[str, Value]
Entries = NDArray[np.int64]
Whole = Callable[[NetworkSpec, int, int], Sequence[int]]
"""Counts the statistics of a network for images of so many channels and so many classes."""


class _Part(NamedTuple):
    """A part of the children of one parent.

    Attributes:
        columns: Of the fields that decide what it is, after the resolution.
        entries: (values of resolution and of each of these fields..., statistics) int64; zeros where it is not there.
    """

    columns: tuple[int, ...]
    entries: Entries


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
    entries: list[Entries] = []
    total = 0
    names = space.values(PARENT)
    for parent in space.parents:
        if parent.name not in names:
            continue
        for part in _parts(space, parent, in_chans, num_classes, whole):
            *sizes, statistics = part.entries.shape
            first_term, first_gate, step = len(terms), len(gates), 1
            for column, size in reversed(list(zip((space.column(RESOLUTION), *part.columns), sizes, strict=True))):
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
                    f"space {space.name}: the parts of its networks have over {MOST_ENTRIES:,} forms; give its fields fewer "
                    "values"
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
        specs = [NetworkSpec(parent.reference, resolution) for resolution in resolutions]
        yield _Part((), np.array([whole(spec, in_chans, num_classes) for spec in specs], np.int64))
        return
    family = Family(Definition.from_dict(parent.definition))
    tables = _Tables(space, parent.name, num_classes)
    sides = np.array(resolutions)
    yield tables.stem(family, sides, in_chans)
    sides = (sides - 1) // 2 + 1
    for places in family.stages:
        depths = [int(depth) for depth in tables.values(f"stage{places[0].stage}.depth", len(places))]
        for index in range(max(depths)):
            place = places[index] if index < len(places) else added(places[-1])
            yield tables.block(place, index, sides)
            if index < len(places):
                sides = (sides - 1) // place.block.total_stride + 1
    yield tables.head(family, sides)


class _Tables:
    """Counts the forms of parts.

    Args:
        space: A space of children.
        parent: Name of the parent whose fields it reads.
        num_classes: Outputs of the classifier.
    """

    def __init__(self, space: Space, parent: str, num_classes: int) -> None:
        self._space = space
        self._prefix = f"{parent}."
        self._num_classes = num_classes
        self._known = {name for field in space.fields for name in field.fills}

    def values(self, field: str, default: Value) -> tuple[Value, ...]:
        """Return the values of a field of the parent, named without it; a field that there is not has the default."""
        name = self._prefix + field
        return self._space.values(name) if name in self._known else (default,)
