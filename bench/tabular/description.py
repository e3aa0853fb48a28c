r"""The description of a tabular dataset, as people write it in YAML; errors are one sentence.

    name: macro                            # prefixes the figures
    file: macro.csv.gz                     # .csv, .csv.gz or .npz; beside the description, or in --data FOLDER
    rows: {distinct: true}                 # only the rows where the column has this value
    architecture:                          # columns by name; `recipe` alike
      depth: [1, 2, 3]                     # the values in order, or `read`: those that the file has
      arch: {split: characters, values: ["0", "1", "2"]}   # a code: one field per character, arch1, arch2, ...
      scheme: {split: "|", pattern: 'k(?P<kernel>\d)w(?P<width>\d+)'}   # scheme1.kernel, scheme1.width, ...
    statistics: {macs: macs_M*1e6, params: n}   # name: column, or column*factor
    target: {columns: [acc0, acc1], sense: maximize, transformation: none, scale: 1}   # a column per seed
    curves: e{i}Accuracy                   # columns of epochs 1, 2, ..., in the unit of the target

Numbers with equal steps become ranges, other values choices; text in quotes is never a number. A two-dimensional array
of an npz file is a code, or several seeds. `grid: NAME` names the JSON array of an npz file (or is the mapping itself)
with the values of each axis, the last axis running fastest.

In place of `architecture`, `recipe` and `statistics`, `space` may hold a space document of narsfast whose fields are
named like the columns (by `share: COLUMN`); a space of MBConv stages then counts its own statistics.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from narsfast.errors import UserError

Cell = bool | int | float | str
Values = Literal["read"] | tuple[Cell, ...]

_STRICT = ConfigDict(frozen=True, extra="forbid")
_PRODUCT = re.compile(r"(.+?)\s*\*\s*([0-9.]+(?:[eE][+-]?[0-9]+)?)")


def _short_column(data: Any) -> Any:
    return data if isinstance(data, dict) else {"values": data}


def _short_statistic(data: Any) -> Any:
    product = _PRODUCT.fullmatch(data) if isinstance(data, str) else None
    return {"column": product.group(1), "factor": float(product.group(2))} if product else {"column": data}


def _different(values: Any) -> Any:
    if values == "read":
        return values
    if not isinstance(values, list) or not values or not all(isinstance(v, Cell) for v in values):
        raise ValueError("it must be a list of values, such as [3, 5], or the word read")
    if len({(isinstance(value, bool), value) for value in values}) < len(values):
        raise ValueError("its values must differ")
    return tuple(values)


def _expression(pattern: Any) -> Any:
    try:
        groups = re.compile(pattern).groupindex
    except (re.error, TypeError) as error:
        raise ValueError(f"it must be a regular expression ({error})") from None
    if not groups:
        raise ValueError("it must have named groups, such as k(?P<kernel>[0-9])")
    return pattern


class ColumnSpec(BaseModel):
    """One column: a field, or a code of several fields."""

    model_config = _STRICT

    values: Annotated[Any, BeforeValidator(_different)] = "read"
    split: str | None = Field(None, min_length=1, description="the word characters, or a separator")
    pattern: Annotated[str | None, BeforeValidator(_expression)] = None

    @model_validator(mode="after")
    def _pattern_of_code(self) -> ColumnSpec:
        if self.pattern is not None and (self.split is None or self.values != "read"):
            raise ValueError("pattern goes with split and without values, whose values are read")
        return self


class StatisticSpec(BaseModel):
    """A column whose numbers, times a factor, are a statistic."""

    model_config = _STRICT

    column: str = Field(description="the name of a column")
    factor: float = 1.0


class TargetSpec(BaseModel):
    """What was trained for: labels are scale * transformation(value), negated where less is better."""

    model_config = _STRICT

    columns: tuple[str, ...] = Field(min_length=1, description="a list of columns, one per seed")
    sense: Literal["maximize", "minimize"] = Field(description="'maximize' or 'minimize'")
    transformation: Literal["none", "log"] = Field("none", description="'none' or 'log'")
    scale: float = Field(1.0, gt=0, allow_inf_nan=False, description="a number above 0")


Columns = dict[str, Annotated[ColumnSpec, BeforeValidator(_short_column)]]


class Description(BaseModel):
    """A whole description."""

    model_config = _STRICT

    name: str = Field(pattern="^[A-Za-z0-9_]+$", description="letters, digits and underscores")
    file: str = Field(min_length=1, description="the name of a .csv, .csv.gz or .npz file")
    grid: str | dict[str, list[Any]] | None = Field(None, description="an array's name, or values by axis")
    rows: dict[str, bool | int | float | str] = Field(
        {}, description="a mapping of columns to one value each"
    )
    architecture: Columns = Field({}, description="a mapping of columns")
    recipe: Columns = Field({}, description="a mapping of columns")
    space: dict[str, Any] | None = Field(None, description="a space document of narsfast")
    statistics: dict[str, Annotated[StatisticSpec, BeforeValidator(_short_statistic)]] = Field(
        {}, description="a mapping of names to columns"
    )
    target: TargetSpec = Field(description="a mapping with columns and sense")
    curves: str | None = Field(None, description="a name with {i} for the epoch, such as e{i}Accuracy")

    @model_validator(mode="after")
    def _one_space(self) -> Description:
        named = bool(self.architecture or self.recipe)
        if (self.space is not None) == named:
            raise ValueError("it must have architecture or recipe columns, or a space in their place")
        return self


def read_description(path: Path) -> Description:
    """Read and check one description.

    Raises:
        UserError: The file is not readable, or wrong: one sentence with field, value and remedy.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        problem = " ".join(str(error).split())
        raise UserError(
            f"the description is {str(path)!r}; it must be a readable YAML file ({problem})"
        ) from None
    if not isinstance(data, dict):
        raise UserError(
            f"{path.name}: the description is {data!r}; it must be a mapping with name, file and target"
        )
    try:
        description = Description.model_validate(data)
    except ValidationError as error:
        raise UserError(f"{path.name}: {_sentence(error)}") from None
    if description.curves is not None and "{i}" not in description.curves:
        raise UserError(f"{path.name}: curves is {description.curves!r}; it must hold {{i}} for the epoch")
    return description


_MODELS: dict[str, type[BaseModel]] = {
    "architecture": ColumnSpec,
    "recipe": ColumnSpec,
    "statistics": StatisticSpec,
    "target": TargetSpec,
}


def _sentence(error: ValidationError) -> str:
    """Return the first problem as one sentence: the field, its value, what would be right."""
    first = error.errors()[0]
    location = [str(step) for step in first["loc"]]
    name, value = ".".join(location) or "the description", repr(first["input"])
    value = value if len(value) <= 80 else value[:77] + "..."
    if first["type"] == "value_error":
        return f"{name} is {value}; {first['ctx']['error']}"
    model = _MODELS.get(location[0], Description) if len(location) > 1 else Description
    if first["type"] == "extra_forbidden":
        return f"{name} is {value}; there is no such key, the keys are {', '.join(model.model_fields)}"
    known = [step for step in location if step in model.model_fields]
    remedy = model.model_fields[known[-1]].description if known else first["msg"]
    if first["type"] == "missing":
        return f"{name} is missing; give {remedy}"
    return f"{name} is {value}; it must be {remedy}"
