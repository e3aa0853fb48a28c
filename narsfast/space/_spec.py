"""The spec of one field in a space file: its values, sharing and conditions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from narsfast.common.candidate import Value

from ._field import Kind

FORMS = "one value, {choices: [...]}, {range: [lo, hi, step]} or {log: [lo, hi, count]}"
"""The forms of a spec, for messages."""
SPEC_KEYS = ("value", "choices", "range", "log")
"""Keys of which a spec has exactly one."""
MAX_VALUES = (1 << 15) - 1
"""Most values of a field: genes are int16."""
_RANGE = "[lo, hi] or [lo, hi, step] in whole numbers, such as [8, 24, 8]"
_LOG = "[lo, hi, count] with 0 < lo < hi and a count of at least 2, such as [0.001, 0.1, 5]"
_LOG_DIGITS = 3  # of the values between lo and hi: 0.00316, not 0.0031622776601683794


def is_scalar(value: object) -> bool:
    """Return whether a value is a boolean, a finite number or a string."""
    return type(value) in (bool, int, str) or (isinstance(value, float) and math.isfinite(value))


class FieldSpec(BaseModel):
    """The content of a file for one field; a bare scalar is short for ``{value: scalar}``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: Any = None
    choices: tuple[Any, ...] | None = Field(None, description="a list of different values, such as [3, 5]")
    range: tuple[int, ...] | None = Field(None, description=_RANGE)
    unit: float | None = Field(
        None, gt=0, strict=True, allow_inf_nan=False, description="a number above 0, such as 0.001"
    )
    log: tuple[float, float, int] | None = Field(None, description=_LOG)
    share: str | None = Field(None, min_length=1, description="the name of a sharing group")
    when: dict[str, Any] | None = Field(
        None, description="a mapping from another field to the values that activate this one"
    )

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, data: Any) -> Any:
        spec = data if isinstance(data, Mapping) else {"value": data}
        if sum(spec.get(key) is not None for key in SPEC_KEYS) != 1 or (
            spec.get("value") is not None and not is_scalar(spec["value"])
        ):
            raise ValueError(f"it must be {FORMS}")
        return spec

    @field_validator("choices")
    @classmethod
    def _different(cls, values: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        if values is not None:
            if not values or not all(map(is_scalar, values)):
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
        if (hi - lo) // step >= MAX_VALUES:
            raise ValueError(f"it has {(hi - lo) // step + 1:,} values; it must have at most {MAX_VALUES:,}")
        if over := (hi - lo) % step:
            raise ValueError(
                f"steps of {step} from {lo} do not meet {hi}, use {hi - over} or {hi - over + step}"
            )
        return lo, hi, step

    @field_validator("log", mode="before")
    @classmethod
    def _logarithmic(cls, bounds: Any) -> Any:
        if bounds is None:
            return None
        if not isinstance(bounds, list | tuple) or len(bounds) != 3:
            raise ValueError(f"it must be {_LOG}")
        lo, hi, count = bounds
        if (
            not all(type(end) in (int, float) and math.isfinite(end) for end in (lo, hi))
            or type(count) is not int
        ):
            raise ValueError(f"it must be {_LOG}")
        if not 0 < lo < hi or not 2 <= count <= MAX_VALUES:
            raise ValueError(f"it must be {_LOG}")
        if len(set(_geometric(lo, hi, count))) < count:
            raise ValueError(f"its {count} values agree in {_LOG_DIGITS} digits; use fewer")
        return float(lo), float(hi), count

    @field_validator("when")
    @classmethod
    def _when(cls, when: dict[str, Any] | None) -> dict[str, Any] | None:
        for parent, wanted in (when or {}).items():
            values = wanted if isinstance(wanted, list | tuple) else [wanted]
            if not values or not all(map(is_scalar, values)):
                raise ValueError(f"{parent} must have a value, a list of values, or a comparison like '> 1'")
        return when

    @model_validator(mode="after")
    def _unit_of_range(self) -> FieldSpec:
        if self.unit is not None and self.range is None:
            raise ValueError("unit goes with range only, leave it out")
        return self

    def values(self) -> tuple[Value, ...]:
        """Return all values in order; those of a range with a unit are floats with the shortest decimals.

        Neighbors of `log` have one ratio, but for their rounding.
        """
        if self.log is not None:
            return _geometric(*self.log)
        if self.range is None:
            return self.choices if self.choices is not None else (self.value,)
        lo, hi, step = self.range
        numbers = range(lo, hi + 1, step)
        if self.unit is None:
            return tuple(numbers)
        unit = Decimal(repr(self.unit))
        return tuple(float(unit * number) for number in numbers)

    def kind(self) -> Kind:
        """Return the kind of the field; it is ``fixed`` if there is one value."""
        if len(self.values()) == 1:
            return "fixed"
        return "categorical" if self.range is None and self.log is None else "range"

    def dump(self) -> Any:
        """Return plain JSON types, in the short form."""
        data = {key: value for key, value in self.model_dump(mode="json").items() if value is not None}
        return self.value if data.keys() == {"value"} else data


def _geometric(lo: float, hi: float, count: int) -> tuple[float, ...]:
    ratio = (hi / lo) ** (1 / (count - 1))
    inner = [float(f"{lo * ratio**index:.{_LOG_DIGITS}g}") for index in range(1, count - 1)]
    return (float(lo), *inner, float(hi))
