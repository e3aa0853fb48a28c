"""The exact number of canonical candidates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from ._field import Field


def count_candidates(fields: Sequence[Field]) -> int:
    """Count the canonical candidates of these columns exactly.

    The counts of fields that no condition connects are multiplied. Within a connected component, partial candidates
    are counted column by column, grouped by the set of later columns that they have activated.
    """
    total = 1
    for component in _components(fields):
        total *= _count_component(component)
    return total


def _count_component(fields: Sequence[Field]) -> int:
    by_name = {field.name: field for field in fields}
    activates = {field.name: [0] * len(field.values) for field in fields}  # per value: bits of later columns
    for column, field in enumerate(fields):
        for condition in field.conditions:
            for value in condition.values:
                activates[condition.parent][by_name[condition.parent].index(value)] |= 1 << column
    states = {0: 1}  # activated later columns -> partial candidates
    for column, field in enumerate(fields):
        following: dict[int, int] = defaultdict(int)
        for activated, count in states.items():
            if field.conditions and not activated >> column & 1:
                following[activated] += count
                continue
            for later in activates[field.name]:
                following[(activated | later) & ~(1 << column)] += count
        states = following
    return sum(states.values())


def _components(fields: Sequence[Field]) -> Iterable[list[Field]]:
    """Group fields that are connected by conditions, each component in column order."""
    root = {field.name: field.name for field in fields}

    def find(name: str) -> str:
        while root[name] != name:
            name = root[name]
        return name

    for field in fields:
        for condition in field.conditions:
            root[find(condition.parent)] = find(field.name)
    components: dict[str, list[Field]] = defaultdict(list)
    for field in fields:
        components[find(field.name)].append(field)
    return components.values()
