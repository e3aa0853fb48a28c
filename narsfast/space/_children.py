"""Names and legal values of a space of children: which parent, how much of it is kept, and the resolution."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from narsfast.errors import UserError

from ._document import SpaceDocument
from ._spec import FORMS

PARENT = "parent"
"""The field that chooses among the parents; its values are their names."""
RESOLUTION = "resolution"
"""The field of the side of the images, pixels."""

_SHAPE = re.compile(
    r"(?P<parent>[A-Za-z0-9_-]+)\.(?:stem|head|stage[1-9][0-9]*)\.(?P<what>depth|width|hidden|kernel)"
)


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and low <= value <= high


_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "depth": (_whole(1, 64), "a whole number of blocks from 1 to 64"),
    "width": (_whole(1, 400), "a percentage of the parent's channels, from 1 to 400"),
    "hidden": (_whole(1, 400), "a percentage of the parent's hidden channels, from 1 to 400"),
    "kernel": (
        lambda value: value == 0 or (_whole(1, 31)(value) and value % 2 == 1),
        "an odd whole number from 1 to 31, or 0 for that of the parent",
    ),
}


def parent_of(name: str) -> str | None:
    """Return the parent to which a field belongs; None of one that all share."""
    shape = _SHAPE.fullmatch(name)
    return None if shape is None else shape["parent"]


def check_children(document: SpaceDocument, source: str) -> None:
    """Check the names and values of a space of children.

    Raises:
        UserError: A name is missing, unknown or conditional, two parents have one name, or a value is illegal.
    """
    names = [parent.name for parent in document.parents]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{source}: two parents are named {name!r}; give one of them another name")
    for field in (PARENT, RESOLUTION):
        if field not in document.architecture:
            raise UserError(f"{source}: {field} is missing; give {FORMS}")
    for value in document.architecture[PARENT].values():
        if value not in names:
            raise UserError(f"{source}: {PARENT} is {value!r}; it must be one of {', '.join(names)}")
    for name, spec in document.architecture.items():
        if spec.when is not None:
            raise UserError(
                f"{source}: {name}.when is {spec.when!r}; leave it out, fields of a parent depend on {PARENT} by "
                "themselves"
            )
        if name != PARENT:
            test, remedy = _rule(name, names, f"{source}: {name} is {spec.dump()!r}")
            for value in spec.values():
                if not test(value):
                    raise UserError(f"{source}: {name} is {value!r}; it must be {remedy}")


def _rule(name: str, parents: list[str], what: str) -> tuple[Callable[[Any], bool], str]:
    """Return what the values of a field must be."""
    if name == RESOLUTION:
        return _whole(8, 4096), "a whole number of pixels from 8 to 4096"
    shape = _SHAPE.fullmatch(name)
    if shape is None or shape["parent"] not in parents:
        raise UserError(
            f"{what}; there is no such field, the fields are {PARENT}, {RESOLUTION} and of each parent stem.width, "
            f"stage1.depth, .width, .hidden, .kernel and so on, and head.width, as in {parents[0]}.stage1.depth"
        )
    return _RULES[shape["what"]]
