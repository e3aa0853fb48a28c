"""Latency of children: which tables fit a space of theirs, and the times of parts that were not timed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narsfast.arch import Definition, Family
from narsfast.errors import UserError
from narsfast.space import PARENT, RESOLUTION, ParentDocument, Space, Value

from ._child_keys import BLOCK, CHILD_COLUMNS, HEAD, STEM, WHOLE, Keys, child_regressors
from ._ridge import Ridge

Milliseconds = NDArray[np.float64]
_KIND, _SIDE, _PARENT = map(CHILD_COLUMNS.index, ("kind", "side", "parent"))
_STRATA = ("parent", "kind", "stride")


def check_children_timed(timed: Space, space: Space, remedy: str) -> None:
    """Refuse a space of children that has other parts than the one that was timed.

    Args:
        timed: The space of the table.
        space: Of the run.
        remedy: End of the message.

    Raises:
        UserError: A parent or a value was not timed; the message names the first difference.
    """
    known = {parent.name: parent for parent in timed.parents}
    of = f"latency: the table is of space {timed.name}"
    names = space.values(PARENT) if space.parents else ()
    if not names:
        raise UserError(f"{of}, whose networks are children of {', '.join(known)}; {remedy}")
    for parent in space.parents:
        if parent.name not in names:
            continue
        if parent.name not in known or parent.name not in timed.values(PARENT):
            raise UserError(f"{of}, which has no parent {parent.name}; {remedy}")
        if _network(known[parent.name]) != _network(parent):
            raise UserError(f"{of}, whose parent {parent.name} is another network; {remedy}")
        for name in _fields(space, parent) | _fields(timed, parent) | {RESOLUTION: None}:
            lacking = [
                value for value in _values(space, parent, name) if value not in _values(timed, parent, name)
            ]
            if lacking:
                raise UserError(f"{of}, in which {name} is never {lacking[0]!r}; {remedy}")


def _network(parent: ParentDocument) -> Any:
    return parent.source or parent.reference if parent.definition is None else parent.definition


def _fields(space: Space, parent: ParentDocument) -> dict[str, None]:
    """Return the names of a space that belong to one parent."""
    names = (name for column in space.architecture_fields for name in space.fields[column].fills)
    return dict.fromkeys(name for name in names if name.startswith(f"{parent.name}."))


def _values(space: Space, parent: ParentDocument, name: str) -> tuple[Value, ...]:
    """Return the values of a name; of one that the space does not have the parent's own."""
    if space.has(name):
        return space.values(name)
    own = Family(Definition.from_dict(parent.definition or {})).own
    return (own[name.removeprefix(f"{parent.name}.")],)


def place_of_parents(timed: Mapping[str, Any], space: Space) -> NDArray[np.int32]:
    """Return the place in a table's space of each parent of another space, -1 of those that it does not have."""
    names = [parent.name for parent in Space.from_dict(timed).parents]
    found = [names.index(parent.name) if parent.name in names else -1 for parent in space.parents]
    return np.array(found, np.int32)


def with_parents_at(keys: Keys, places: NDArray[np.int32]) -> Keys:
    """Return keys with the parents of another space."""
    own = keys.copy()
    own[:, _PARENT] = places[keys[:, _PARENT]]
    return own


def in_turn(parts: NDArray[np.int32], strata: NDArray[np.int32], seed: int) -> NDArray[np.int32]:
    """Shuffle parts (n, ...) so that those of different strata (n, ...) take turns."""
    order = np.random.default_rng(seed).permutation(len(parts))
    parts, strata = parts[order], strata[order]
    _, stratum = np.unique(strata, axis=0, return_inverse=True)
    order = np.argsort(stratum.ravel(), kind="stable")
    counts = np.bincount(stratum.ravel())
    turn = np.concatenate([np.arange(count) for count in counts]) if len(counts) else order
    return parts[order[np.argsort(turn, kind="stable")]]


def child_interpolation(
    parts: Keys, milliseconds: Milliseconds, parents: int
) -> Callable[[Keys], Milliseconds]:
    """Fit a function that predicts the latency of parts of children.

    Stems, blocks and heads by ridge regression; networks that take part whole by a line between the nearest sides that
    were timed, both in the logarithm.

    Args:
        parts: (n, columns), the timed ones.
        milliseconds: (n,), their times.
        parents: Of the space.
    """
    whole = parts[:, _KIND] == WHOLE
    fit = Ridge(child_regressors(parts[~whole], parents), milliseconds[~whole]) if not whole.all() else None
    lines: dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
    for parent in np.unique(parts[whole, _PARENT]).tolist():
        own = whole & (parts[:, _PARENT] == parent)
        order = np.argsort(parts[own, _SIDE])
        lines[parent] = np.log(parts[own, _SIDE][order]), np.log(milliseconds[own][order])

    def predict(wanted: Keys) -> Milliseconds:
        result = np.zeros(len(wanted))
        parted = np.isin(wanted[:, _KIND], (STEM, BLOCK, HEAD))
        if fit is not None and parted.any():
            result[parted] = fit(child_regressors(wanted[parted], parents))
        for parent, (sides, logs) in lines.items():
            own = (wanted[:, _KIND] == WHOLE) & (wanted[:, _PARENT] == parent)
            result[own] = np.exp(np.interp(np.log(wanted[own, _SIDE]), sides, logs))
        return result

    return predict


def children_in_turn(parts: Keys, seed: int) -> Keys:
    """Return the order in which parts are timed: whole networks at their ends, then all kinds of parts in turns."""
    whole = parts[parts[:, _KIND] == WHOLE]
    ends = [
        own[place]
        for parent in np.unique(whole[:, _PARENT])
        for own in (whole[whole[:, _PARENT] == parent],)
        for place in sorted({int(own[:, _SIDE].argmin()), int(own[:, _SIDE].argmax())})
    ]
    first = np.array(ends, np.int32).reshape(-1, parts.shape[1])
    others = parts[~(parts[:, None] == first[None]).all(axis=2).any(axis=1)] if len(first) else parts
    strata = others[:, [CHILD_COLUMNS.index(name) for name in _STRATA]]
    return np.concatenate([first, in_turn(others, strata, seed)])
