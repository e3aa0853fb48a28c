"""Names and legal values of MBConv architectures: stem, stages of MBConv blocks, head."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from narsfast.common.candidate import Value
from narsfast.errors import UserError

from ._document import SpaceDocument
from ._recipe import RENAMED, Recipe, recipe_remedy
from ._spec import FORMS
from ._vocabulary import ACTIVATIONS, GATES
from ._width import SqueezedWidth

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
HEAD_OPTIONS: dict[str, Value] = {"head.hidden": 0, "head.bias": False, "head.norm": False}
"""Names that an architecture may leave out, with their defaults; one value each. 0: the width is the expansion's."""
NETWORK_OPTIONS: dict[str, Value] = {"se_gate": "hard_sigmoid", "norm_eps": 1e-5, "padding": "half"}
"""Likewise; as in `narsfast.arch.Definition`, where ``se_act`` may be left out too."""
STAGE_OPTIONS = ("act", "kind", "start_kernel", "se_width")
"""Names that each stage may leave out; ``act`` and ``se_width`` may also stand once for the whole network."""
WIDE_OPTIONS = ("act", "se_width", "se_act", *NETWORK_OPTIONS, *HEAD_OPTIONS)
"""Names of the whole network that may be left out."""
DEFAULT_OPTIONS: dict[str, Value] = {
    "act": "hard_swish",
    "kind": "mbconv",
    "start_kernel": 0,
    "se_width": "input/4",
    **NETWORK_OPTIONS,
    **HEAD_OPTIONS,
}
"""Defaults of names that may be left out, of stages without their number; that of ``se_act`` is the row's activation."""
REST_NAMES = ("kernel.rest", "expansion.rest")
"""Active only in a stage of more than one block."""

_Rule = tuple[Callable[[Any], bool], str]


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and low <= value <= high


_CHANNELS: _Rule = (_whole(1, 1 << 16), "a whole number of at least 1")
_KERNEL: _Rule = (lambda value: _whole(1, 31)(value) and value % 2 == 1, "an odd whole number from 1 to 31")
_EXPANSION: _Rule = (_whole(1, 64), "a whole number from 1 to 64")
_ONE_VALUE = ("se_act", *NETWORK_OPTIONS, *HEAD_OPTIONS)


def _one_of(*values: Value) -> _Rule:
    return lambda value: value in values and type(value) is str, f"one of {', '.join(map(str, values))}"


def _is_squeezed_width(value: Any) -> bool:
    try:
        SqueezedWidth.of(value)
    except ValueError:
        return False
    return True


_RULES: dict[str, _Rule] = {
    "resolution": (_whole(8, 4096), "a whole number of pixels from 8 to 4096"),
    "stem.channels": _CHANNELS,
    "head.expansion": _EXPANSION,
    "head.features": (_whole(0, 1 << 16), "a whole number of at least 1, or 0 for no second convolution"),
    "kernel.first": _KERNEL,
    "kernel.rest": _KERNEL,
    "expansion.first": _EXPANSION,
    "expansion.rest": _EXPANSION,
    "channels": _CHANNELS,
    "depth": (_whole(1, 64), "a whole number of blocks from 1 to 64"),
    "stride": (_whole(1, 2), "1 or 2"),
    "se": (lambda value: type(value) is bool, "true or false"),
    "act": _one_of(*ACTIVATIONS),
    "kind": _one_of("mbconv", "fused"),
    "start_kernel": (lambda value: value == 0 or _KERNEL[0](value), "an odd whole number, or 0 for none"),
    "se_width": (_is_squeezed_width, 'a width such as 24, or "input/4" or "hidden/4", perhaps with " exact"'),
    "se_act": _one_of(*ACTIVATIONS),
    "se_gate": _one_of(*GATES),
    "norm_eps": (lambda value: isinstance(value, float) and 0 < value < 1, "a number between 0 and 1"),
    "padding": _one_of("half", "same"),
    "head.hidden": (_whole(0, 1 << 16), "a whole number of channels, or 0 for those of the expansion"),
    "head.bias": (lambda value: type(value) is bool, "true or false"),
    "head.norm": (lambda value: type(value) is bool, "true or false"),
}


def architecture_names(stages: int) -> tuple[str, ...]:
    """Return all names of an MBConv architecture, in the order in which definitions list them."""
    numbered = [f"stage{number}.{name}" for number in range(1, stages + 1) for name in STAGE_NAMES]
    return (*HEADER_NAMES[:2], *numbered, *HEADER_NAMES[2:])


def _check_options(document: SpaceDocument, source: str) -> None:
    """Refuse settings of stages of which some cannot go together.

    Raises:
        UserError: A fused block would have what only inverted residuals have.
    """
    for stage in (f"stage{number}" for number in range(1, document.stages + 1)):
        specs = {
            name: document.architecture.get(f"{stage}.{name}") for name in (*STAGE_NAMES, *STAGE_OPTIONS)
        }
        values = {name: () if spec is None else spec.values() for name, spec in specs.items()}
        if "fused" not in values["kind"]:
            continue
        if any(values["start_kernel"]):
            raise UserError(
                f"{source}: {stage}.start_kernel is {max(values['start_kernel'])}; fused blocks have none"
            )
        if True in values["se"] and 1 in (*values["expansion.first"], *values["expansion.rest"]):
            raise UserError(f"{source}: {stage}.se is true; fused blocks of expansion 1 have none")


def check_mbconv(document: SpaceDocument, source: str) -> None:
    """Check the names and values of an MBConv space and its recipe.

    Raises:
        UserError: A name is missing, unknown or conditional, or a value is illegal.
    """
    names = architecture_names(document.stages)
    optional = {*WIDE_OPTIONS} | {
        f"stage{number}.{name}" for number in range(1, document.stages + 1) for name in STAGE_OPTIONS
    }
    for name, spec in document.architecture.items():
        if name not in names and name not in optional:
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
        if name in _ONE_VALUE and len(spec.values()) > 1:
            raise UserError(
                f"{source}: {name} is {spec.dump()!r}; it must be one value, all networks share it"
            )
        test, remedy = _RULES[name.partition(".")[2] if name.startswith("stage") else name]
        for value in spec.values():
            if not test(value):
                raise UserError(f"{source}: {name} is {value!r}; it must be {remedy}")
    _check_options(document, source)
    hidden = document.architecture.get("head.hidden")
    given = "" if hidden is None or hidden.values() == (0,) else "head.expansion"
    for name in names:
        if name not in document.architecture and name != given:
            raise UserError(f"{source}: {name} is missing; give {FORMS}")
    if given in document.architecture:
        assert hidden is not None
        raise UserError(f"{source}: head.hidden is {hidden.dump()!r} beside head.expansion; give one of them")
    for name, spec in document.recipe.items():
        if RENAMED.get(name, name) not in Recipe.model_fields:
            raise UserError(f"{source}: {name} is {spec.dump()!r}; {recipe_remedy(name)}")
        for value in spec.values():
            Recipe.of({name: value}, source=f"{source}: recipe")
