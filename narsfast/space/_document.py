"""A space as written: the pydantic schema of space files, and its one-sentence errors.

The nested form that people write is flattened to dotted names here (``stages: [{depth: 2}]`` to
``stage1.depth``); the flat form is what `Space.to_dict` gives, and both are read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated, Any, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from narsfast.errors import UserError

from ._field import PARTS, Kind, Value
from ._quantity import QUANTITY_REMEDY, parse_quantity

FORMS = "one value, {choices: [...]} or {range: [lo, hi, step]}"
_SPEC_KEYS = ("value", "choices", "range")
_RANGE = "[lo, hi] or [lo, hi, step] in whole numbers, such as [8, 24, 8]"


def _is_scalar(value: object) -> bool:
    return type(value) in (bool, int, str) or (isinstance(value, float) and math.isfinite(value))


def _amounts(amount: Any) -> tuple[float, float]:
    """One amount is an upper bound, two are both; M, KB and the like are read."""
    pair = amount if isinstance(amount, list | tuple) else [0, amount]
    if len(pair) != 2:
        raise ValueError("it must be one amount (the upper bound) or two, [lo, hi]")
    try:
        low, high = (parse_quantity(end) for end in pair)
    except UserError:
        raise ValueError(f"{QUANTITY_REMEDY}, or two of them, [lo, hi]") from None
    if low > high:
        raise ValueError("lo must not be above hi")
    return low, high


Bounds: TypeAlias = dict[str, Annotated[tuple[float, float], BeforeValidator(_amounts)]]


class FieldSpec(BaseModel):
    """What a file says about one field; a bare scalar is short for ``{value: scalar}``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: Any = None
    choices: tuple[Any, ...] | None = Field(None, description="a list of different values, such as [3, 5]")
    range: tuple[int, ...] | None = Field(None, description=_RANGE)
    unit: float | None = Field(
        None, gt=0, strict=True, allow_inf_nan=False, description="a number above 0, such as 0.001"
    )
    share: str | None = Field(None, min_length=1, description="the name of a sharing group")
    when: dict[str, Any] | None = Field(
        None, description="a mapping from another field to the values that activate this one"
    )

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, data: Any) -> Any:
        spec = data if isinstance(data, Mapping) else {"value": data}
        if sum(spec.get(key) is not None for key in _SPEC_KEYS) != 1 or (
            spec.get("value") is not None and not _is_scalar(spec["value"])
        ):
            raise ValueError(f"it must be {FORMS}")
        return spec

    @field_validator("choices")
    @classmethod
    def _different(cls, values: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        if values is not None:
            if not values or not all(map(_is_scalar, values)):
                raise ValueError("it must be a list of plain values, such as [3, 5]")
            if len(set(values)) < len(values):
                raise ValueError("its values must differ")
        return values

    @field_validator("range", mode="before")
    @classmethod
    def _whole(cls, bounds: Any) -> Any:
        if bounds is None:
            return None
        if not isinstance(bounds, list | tuple) or len(bounds) not in (2, 3):
            raise ValueError(f"it must be {_RANGE}")
        if any(type(bound) is not int for bound in bounds):
            raise ValueError(f"it must be {_RANGE}; a unit makes fractions of them")
        lo, hi, step = bounds if len(bounds) == 3 else (*bounds, 1)
        if step < 1:
            raise ValueError("its step must be at least 1")
        if lo > hi:
            raise ValueError("lo must not be above hi")
        if over := (hi - lo) % step:
            raise ValueError(
                f"steps of {step} from {lo} do not meet {hi}, use {hi - over} or {hi - over + step}"
            )
        return lo, hi, step

    @field_validator("when")
    @classmethod
    def _when(cls, when: dict[str, Any] | None) -> dict[str, Any] | None:
        for parent, wanted in (when or {}).items():
            values = wanted if isinstance(wanted, list | tuple) else [wanted]
            if not values or not all(map(_is_scalar, values)):
                raise ValueError(f"{parent} must have a value, a list of values, or a comparison like '> 1'")
        return when

    @model_validator(mode="after")
    def _unit_of_range(self) -> FieldSpec:
        if self.unit is not None and self.range is None:
            raise ValueError("unit goes with range only, leave it out")
        return self

    def values(self) -> tuple[Value, ...]:
        """All values in order; those of a range with a unit are floats, the shortest decimals."""
        if self.range is None:
            return self.choices if self.choices is not None else (self.value,)
        lo, hi, step = self.range
        numbers = range(lo, hi + 1, step)
        if self.unit is None:
            return tuple(numbers)
        unit = Decimal(repr(self.unit))
        return tuple(float(unit * number) for number in numbers)

    def kind(self) -> Kind:
        """``fixed`` where there is one value."""
        if len(self.values()) == 1:
            return "fixed"
        return "categorical" if self.range is None else "range"

    def dump(self) -> Any:
        """Plain JSON types, in the short form."""
        data = {key: value for key, value in self.model_dump(mode="json").items() if value is not None}
        return self.value if data.keys() == {"value"} else data


class SpaceDocument(BaseModel):
    """A whole space file in flat form: specs by dotted names, in the order of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, description="a text, the name of the space")
    stages: int = Field(
        0, ge=0, strict=True, description="the number of stages (their list stands under architecture)"
    )
    architecture: dict[str, FieldSpec] = Field({}, description="a mapping of fields")
    recipe: dict[str, FieldSpec] = Field({}, description="a mapping of fields")
    pool: Bounds = Field({}, description="a mapping such as {macs: [0.5M, 10M]}")
    budgets: tuple[Bounds, ...] = Field((), description="a list such as [{macs: 1M}, {macs: 2M}]")

    def specs(self) -> dict[str, FieldSpec]:
        """All specs by name, architecture first."""
        return {**self.architecture, **self.recipe}

    def dump(self) -> dict[str, Any]:
        """Plain JSON types; `parse_document` of it gives an equal document."""
        return {
            "name": self.name,
            "stages": self.stages,
            "architecture": {name: spec.dump() for name, spec in self.architecture.items()},
            "recipe": {name: spec.dump() for name, spec in self.recipe.items()},
            "pool": {name: list(bounds) for name, bounds in self.pool.items()},
            "budgets": [{name: list(bounds) for name, bounds in budget.items()} for budget in self.budgets],
        }


def parse_document(data: object, source: str) -> SpaceDocument:
    """Checks and flattens a space file's content.

    Args:
        data: what the YAML or JSON file held, nested or flat.
        source: file name or space name, for messages.

    Raises:
        UserError: one sentence with the field, the value and what would be right.
    """
    if not isinstance(data, Mapping):
        raise UserError(f"{source} is {_shown(data)}; a space is a mapping of name, architecture and recipe")
    data = dict(data)
    architecture = data.get("architecture")
    if isinstance(architecture, Mapping) and "stages" in architecture:
        stages = architecture["stages"]
        if not isinstance(stages, list | tuple) or not stages:
            raise UserError(f"{source}: architecture.stages is {_shown(stages)}; it must be a list of stages")
        data["stages"] = len(stages)
    for part in PARTS:
        if isinstance(data.get(part), Mapping):
            data[part] = flatten(data[part])
    try:
        document = SpaceDocument.model_validate(data)
    except ValidationError as error:
        raise UserError(f"{source}: {_sentence(error)}") from None
    for name in document.architecture.keys() & document.recipe.keys():
        value = document.recipe[name].dump()
        raise UserError(
            f"{source}: {name} is {value!r} in the recipe; the architecture has a {name}, rename one of them"
        )
    return document


def flatten(tree: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings to dotted names, a list of stages to ``stage1``, ``stage2``, ...; specs stay whole."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if name == "stages" and isinstance(value, list | tuple):
            for number, stage in enumerate(value, start=1):
                flat |= flatten({f"stage{number}": stage})
        elif isinstance(value, Mapping) and value and not value.keys() & set(_SPEC_KEYS):
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = value
    return flat


_COMPARISON = re.compile(r"\s*(>=|<=|>|<)\s*(-?[0-9.]+(?:[eE][+-]?[0-9]+)?)\s*")
_TESTS: dict[str, Callable[[float, float], bool]] = {
    ">": lambda number, limit: number > limit,
    "<": lambda number, limit: number < limit,
    ">=": lambda number, limit: number >= limit,
    "<=": lambda number, limit: number <= limit,
}


def matching(wanted: object, values: tuple[Value, ...]) -> tuple[tuple[Value, ...], list[object]]:
    """What a ``when`` entry asks for: a value, a list of values, or a comparison such as ``> 1``.

    Returns:
        Those of `values`, in their order; and what the entry names without meeting any value.
    """
    comparison = _COMPARISON.fullmatch(wanted) if isinstance(wanted, str) else None
    found: tuple[Value, ...]
    if comparison is not None:
        test, limit = _TESTS[comparison.group(1)], float(comparison.group(2))
        found = tuple(value for value in values if isinstance(value, int | float) and test(value, limit))
        return found, [] if found else [wanted]
    asked = list(wanted) if isinstance(wanted, list | tuple) else [wanted]
    keys = {(isinstance(value, bool), value) for value in asked}
    found = tuple(value for value in values if (isinstance(value, bool), value) in keys)
    return found, [value for value in asked if value not in found]


def _sentence(error: ValidationError) -> str:
    """The first problem as one sentence: the field, its value, what would be right."""
    first = error.errors()[0]
    location = first["loc"]
    within_spec = len(location) > 1 and location[0] in PARTS
    shown = [str(step) for step in location[int(within_spec) :] if not isinstance(step, int)]
    name, value = ".".join(shown), _shown(first["input"])
    known = FieldSpec.model_fields if within_spec else SpaceDocument.model_fields
    if first["type"] == "value_error":
        return f"{name} is {value}; {first['ctx']['error']}"
    if first["type"] == "extra_forbidden":
        return f"{name} is {value}; there is no such key here, the keys are {', '.join(known)}"
    field = known[str(location[2] if within_spec else location[0])]
    if first["type"] == "missing":
        return f"{name} is missing; give {field.description}"
    return f"{name} is {value}; it must be {field.description}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
