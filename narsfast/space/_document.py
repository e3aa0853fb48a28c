"""A space as written: the pydantic schema of space files, and its one-sentence errors.

The nested form that people write is flattened to dotted names here (``stages: [{depth: 2}]`` to ``stage1.depth``);
the flat form is what `Space.to_dict` gives, and both are read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from narsfast.errors import UserError

from ._field import Kind, Value
from ._quantity import QUANTITY_REMEDY, parse_quantity

_SPEC_KEYS = ("value", "choices", "range")
_FORMS = "give one value, {choices: [...]} or {range: [lo, hi, step]}"
_COMPARISON = re.compile(r"\s*(>=|<=|>|<)\s*(-?[0-9.]+(?:[eE][+-]?[0-9]+)?)\s*")
Bounds = dict[str, tuple[float, float]]


class FieldSpec(BaseModel):
    """What a file says about one field; a bare scalar is short for ``{value: scalar}``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: Any = None
    choices: tuple[Any, ...] | None = Field(None, description="a list of different values, such as [3, 5]")
    range: tuple[int, ...] | None = Field(
        None, description="[lo, hi] or [lo, hi, step] in whole numbers, such as [8, 24, 8]"
    )
    unit: float | None = Field(None, gt=0, allow_inf_nan=False, description="a number above 0, such as 0.001")
    share: str | None = Field(None, min_length=1, description="the name of a sharing group")
    when: dict[str, Any] | None = Field(
        None, description="a mapping from another field to the values that activate this one"
    )

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            data = {"value": data}
        given = [key for key in _SPEC_KEYS if data.get(key) is not None]
        if len(given) != 1:
            raise ValueError(_FORMS)
        return data

    @field_validator("value")
    @classmethod
    def _scalar(cls, value: Any) -> Any:
        if value is not None and not _is_scalar(value):
            raise ValueError(_FORMS)
        return value

    @field_validator("choices")
    @classmethod
    def _different(cls, values: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        if values is not None:
            if not values or not all(map(_is_scalar, values)):
                raise ValueError("it must be a list of plain values, such as [3, 5]")
            if len({(isinstance(value, bool), value) for value in values}) < len(values):
                raise ValueError("its values must differ")
        return values

    @field_validator("range", mode="before")
    @classmethod
    def _whole(cls, bounds: Any) -> Any:
        if bounds is None:
            return None
        whole = isinstance(bounds, list | tuple) and all(type(bound) is int for bound in bounds)
        if not whole or len(bounds) not in (2, 3):
            raise ValueError("it must be [lo, hi] or [lo, hi, step] in whole numbers, such as [8, 24, 8]")
        lo, hi, step = *bounds, *([1] if len(bounds) == 2 else [])
        if step < 1:
            raise ValueError("its step must be at least 1")
        if lo > hi:
            raise ValueError("lo must not be above hi")
        if (hi - lo) % step:
            below = hi - (hi - lo) % step
            raise ValueError(f"steps of {step} from {lo} do not meet {hi}, use {below} or {below + step}")
        return (lo, hi, step)

    @field_validator("when")
    @classmethod
    def _when(cls, when: dict[str, Any] | None) -> dict[str, Any] | None:
        for parent, wanted in (when or {}).items():
            values = wanted if isinstance(wanted, list | tuple) else [wanted]
            if not values or not all(map(_is_scalar, values)):
                raise ValueError(
                    f"{parent} must have a value, a list of values, or a comparison such as '> 1'"
                )
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
        """``fixed`` where only one value is left."""
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

    name: str = Field(min_length=1, description="the name of the space")
    stages: int = Field(0, ge=0, description="the number of stages, or a list of them under architecture")
    architecture: dict[str, FieldSpec] = Field({}, description="a mapping of fields")
    recipe: dict[str, FieldSpec] = Field({}, description="a mapping of fields")
    pool: Bounds = Field({}, description="a mapping such as {macs: [0.5M, 10M]}")
    budgets: tuple[Bounds, ...] = Field((), description="a list such as [{macs: 1M}, {macs: 2M}]")

    @field_validator("pool", mode="before")
    @classmethod
    def _pool(cls, bounds: Any) -> Any:
        return _bounds(bounds)

    @field_validator("budgets", mode="before")
    @classmethod
    def _budgets(cls, budgets: Any) -> Any:
        return [_bounds(budget) for budget in budgets] if isinstance(budgets, list | tuple) else budgets

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


def parse_document(data: Any, source: str) -> SpaceDocument:
    """Checks and flattens a space file's content.

    Args:
        data: what the YAML or JSON file held, nested or flat.
        source: file name or space name, for messages.

    Raises:
        UserError: one sentence with the field, the value and what would be right.
    """
    if not isinstance(data, Mapping):
        raise UserError(
            f"{source} is {_shown(data)}; a space is a mapping with name, architecture and recipe"
        )
    data = dict(data)
    architecture = data.get("architecture")
    if isinstance(architecture, Mapping) and "stages" in architecture:
        stages = architecture["stages"]
        if not isinstance(stages, list | tuple) or not stages:
            raise UserError(f"{source}: architecture.stages is {_shown(stages)}; it must be a list of stages")
        data["stages"] = len(stages)
    for part in ("architecture", "recipe"):
        if isinstance(data.get(part), Mapping):
            data[part] = flatten(data[part])
    try:
        document = SpaceDocument.model_validate(data)
    except ValidationError as error:
        raise UserError(f"{source}: {_sentence(error)}") from None
    both = document.architecture.keys() & document.recipe.keys()
    if both:
        raise UserError(
            f"{source}: {min(both)} is in architecture and in recipe; give one of them another name"
        )
    return document


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings to dotted names, ``stages`` lists to ``stage1``, ``stage2``, ...; specs stay whole."""
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


def matching(wanted: Any, values: tuple[Value, ...]) -> tuple[Value, ...]:
    """Those of `values` that a ``when`` entry asks for: a value, a list of values, or a comparison."""
    comparison = _COMPARISON.fullmatch(wanted) if isinstance(wanted, str) else None
    if comparison is None:
        keys = {(isinstance(value, bool), value) for value in _as_list(wanted)}
        return tuple(value for value in values if (isinstance(value, bool), value) in keys)
    limit = float(comparison.group(2))
    tests = {
        ">": lambda number: number > limit,
        "<": lambda number: number < limit,
        ">=": lambda number: number >= limit,
        "<=": lambda number: number <= limit,
    }
    holds = tests[comparison.group(1)]
    return tuple(value for value in values if isinstance(value, int | float) and holds(value))


def unmatched(wanted: Any, values: tuple[Value, ...]) -> list[Value]:
    """The values that a ``when`` entry names and that its parent does not have."""
    if isinstance(wanted, str) and _COMPARISON.fullmatch(wanted):
        return [] if matching(wanted, values) else [wanted]
    return [value for value in _as_list(wanted) if not matching(value, values)]


def _as_list(wanted: Any) -> list[Any]:
    return list(wanted) if isinstance(wanted, list | tuple) else [wanted]


def _is_scalar(value: Any) -> bool:
    finite = not isinstance(value, float) or abs(value) < float("inf")
    return type(value) in (bool, int, float, str) and finite


def _bounds(bounds: Any) -> Any:
    """Amounts as numbers; one amount is an upper bound."""
    if not isinstance(bounds, Mapping):
        return bounds
    parsed = {}
    for name, amount in bounds.items():
        pair = amount if isinstance(amount, list | tuple) else [0, amount]
        try:
            low, high = (parse_quantity(end) for end in pair)
        except (UserError, ValueError):
            raise ValueError(f"{name}|{_shown(amount)}|{QUANTITY_REMEDY}, or two of them [lo, hi]") from None
        if low > high:
            raise ValueError(f"{name}|{_shown(amount)}|lo must not be above hi")
        parsed[name] = (low, high)
    return parsed


def _sentence(error: ValidationError) -> str:
    """The first problem as: field is value; what would be right."""
    first = error.errors()[0]
    location = [part for part in first["loc"] if part not in PARTS_OF_A_DOCUMENT] or list(first["loc"])
    value = _shown(first["input"])
    key = str(first["loc"][-1]) if first["loc"] else ""
    name = ".".join(str(part) for part in location if not isinstance(part, int))
    if first["type"] == "value_error":
        reason = str(first["ctx"]["error"])
        if "|" in reason:  # from _bounds, which knows the statistic
            statistic, value, reason = reason.split("|")
            name = f"{name}.{statistic}"
        return f"{name} is {value}; {reason}"
    if first["type"] == "extra_forbidden":
        known = FieldSpec if len(first["loc"]) > 1 else SpaceDocument
        return f"{name} is {value}; there is no such key here, the keys are {', '.join(known.model_fields)}"
    model = FieldSpec if len(first["loc"]) > 2 else SpaceDocument
    if first["type"] == "missing":
        return f"{key} is missing; give {model.model_fields[key].description}"
    field = next((model.model_fields[str(part)] for part in first["loc"] if part in model.model_fields), None)
    for part in first["loc"][2:]:
        field = FieldSpec.model_fields.get(str(part), field)
    return f"{name} is {value}; it must be {field.description if field else _FORMS}"


PARTS_OF_A_DOCUMENT = ("architecture", "recipe")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
