"""Names and legal values of MBConv architectures: stem, stages of MBConv blocks, head."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from narsfast.errors import UserError

from ._document import SpaceDocument
from ._spec import FORMS

HEADER_NAMES = ("resolution", "stem.channels", "head.expansion", "head.features")
"""Names of an MBConv architecture outside its stages."""
STAGE_NAMES = (
    "kernel.first",
    "kernel.rest",
    "expansion.first",
    "expansion.rest",
    "channels",
    "depth",
    "stride",
    "se",
)
"""Names of each stage, after ``stage1.`` and so on."""
REST_NAMES = ("kernel.rest", "expansion.rest")
"""Active only in a stage of more than one block."""

_Rule = tuple[Callable[[Any], bool], str]


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and low <= value <= high


_CHANNELS: _Rule = (_whole(1, 1 << 16), "a whole number of at least 1")
_KERNEL: _Rule = (lambda value: _whole(1, 31)(value) and value % 2 == 1, "an odd whole number from 1 to 31")
_EXPANSION: _Rule = (_whole(1, 64), "a whole number from 1 to 64")
_RULES: dict[str, _Rule] = {
    "resolution": (_whole(8, 4096), "a whole number of pixels from 8 to 4096"),
    "stem.channels": _CHANNELS,
    "head.expansion": _EXPANSION,
    "head.features": _CHANNELS,
    "kernel.first": _KERNEL,
    "kernel.rest": _KERNEL,
    "expansion.first": _EXPANSION,
    "expansion.rest": _EXPANSION,
    "channels": _CHANNELS,
    "depth": (_whole(1, 64), "a whole number of blocks from 1 to 64"),
    "stride": (_whole(1, 2), "1 or 2"),
    "se": (lambda value: type(value) is bool, "true or false"),
}


def architecture_names(stages: int) -> tuple[str, ...]:
    """Return all names of an MBConv architecture, in the order in which definitions list them."""
    numbered = [f"stage{number}.{name}" for number in range(1, stages + 1) for name in STAGE_NAMES]
    return (*HEADER_NAMES[:2], *numbered, *HEADER_NAMES[2:])


def check_mbconv(document: SpaceDocument, source: str) -> None:
    """Check the names and values of the architecture of an MBConv space.

    Raises:
        UserError: A name is missing, unknown or conditional, or a value is illegal.
    """
    names = architecture_names(document.stages)
    for name, spec in document.architecture.items():
        if name not in names:
            siblings = [known for known in names if known.partition(".")[0] == name.partition(".")[0]]
            raise UserError(
                f"{source}: {name} is {spec.dump()!r}; there is no such field, the fields are "
                + ", ".join(siblings or (*HEADER_NAMES, f"and those of stage1 to stage{document.stages}"))
            )
        if spec.when is not None:
            raise UserError(
                f"{source}: {name}.when is {spec.when!r}; leave it out, every network has this field "
                "(kernel.rest and expansion.rest depend on depth by themselves)"
            )
        test, remedy = _RULES[name.partition(".")[2] if name.startswith("stage") else name]
        for value in spec.values():
            if not test(value):
                raise UserError(f"{source}: {name} is {value!r}; it must be {remedy}")
    for name in names:
        if name not in document.architecture:
            raise UserError(f"{source}: {name} is missing; give {FORMS}")
