"""The columns of a dataset's file, and the fields that they make."""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.tabular.description import Cell, ColumnSpec, Description
from narsfast.errors import UserError
from narsfast.space import Part, Space

Cells = dict[str, NDArray[Any]]
"""Columns by name: (n,) or (n, k), text of a csv file, anything plain of an npz file."""

_WORDS = {"true": True, "false": False}


def read_columns(path: Path, grid: str | Mapping[str, Sequence[Any]] | None, source: str) -> Cells:
    """Read all columns of a file; those of a grid's axes are written out.

    Raises:
        UserError: The file is neither csv nor npz, its columns differ in length, or the grid is wrong.
    """
    if path.name.endswith(".npz"):
        with np.load(path, allow_pickle=False) as arrays:
            columns = {name: arrays[name] for name in arrays.files}
        return _grid(columns, grid, source) if grid is not None else _rows_only(columns)
    if not path.name.endswith((".csv", ".csv.gz")):
        raise UserError(f"{source}: file is {path.name!r}; it must end in .csv, .csv.gz or .npz")
    with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as lines:
        rows = list(csv.reader(lines))
    lengths = {len(row) for row in rows}
    if len(rows) < 2 or len(lengths) > 1:
        raise UserError(f"{source}: {path.name} has no columns; give a head and rows of the same length")
    return dict(zip(rows[0], np.array(rows[1:]).T, strict=True))


def _grid(columns: Cells, grid: str | Mapping[str, Sequence[Any]], source: str) -> Cells:
    """Return the axes as columns, beside the arrays with a row for each point."""
    axes = json.loads(str(_column(columns, grid, "grid", source))) if isinstance(grid, str) else dict(grid)
    shape = [len(values) for values in axes.values()]
    points = int(np.prod(shape))
    kept = {name: array for name, array in columns.items() if array.ndim and len(array) == points}
    if not kept:
        raise UserError(f"{source}: grid has {points} points, but no array has as many rows; check its axes")
    places = np.indices(shape).reshape(len(shape), points)
    return kept | {
        name: np.array([str(value) for value in values])[place]
        for (name, values), place in zip(axes.items(), places, strict=True)
    }


def _rows_only(columns: Cells) -> Cells:
    """Return the arrays of the most frequent length."""
    lengths = [len(array) for array in columns.values() if array.ndim]
    rows = max(set(lengths), key=lengths.count, default=0)
    return {name: array for name, array in columns.items() if array.ndim and len(array) == rows}


def _column(columns: Cells, name: str, field: str, source: str) -> NDArray[Any]:
    if name not in columns:
        raise UserError(f"{source}: {field} names the column {name!r}; the columns are {_listed(columns)}")
    return columns[name]


def _listed(names: Mapping[str, Any]) -> str:
    shown = list(names)
    return ", ".join(shown[:20]) + (f", ... ({len(shown)})" if len(shown) > 20 else "")


def selected(columns: Cells, name: str, wanted: Cell, source: str) -> Cells:
    """Select the rows in which a column has a value.

    Raises:
        UserError: There is no such column, or no such row.
    """
    keep = _parsed(_column(columns, name, "rows", source), [wanted]) == 0
    if not keep.any():
        raise UserError(f"{source}: rows.{name} is {wanted!r}, which no row has; give a value of that column")
    return {other: cells[keep] for other, cells in columns.items()}


def numbers(columns: Cells, name: str, field: str, source: str) -> NDArray[np.float64]:
    """Return a column of finite numbers: (n, 1), or (n, k) of a two-dimensional one.

    Raises:
        UserError: There is no such column, or a cell is no finite number.
    """
    cells = _column(columns, name, field, source)
    cells = cells.reshape(len(cells), -1)
    try:
        values = cells.astype(np.float64)
    except ValueError:
        values = np.array([[_number(cell) for cell in row] for row in cells.tolist()])
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        row, column = wrong[0]
        raise UserError(
            f"{source}: {field} is {str(cells[row, column])!r} in row {row + 1} of {name}; "
            "it must be a finite number, fill it in or remove the row"
        )
    return values


def _number(cell: Any) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")


@dataclass(frozen=True)
class FieldCells:
    """One field of the space and what each row says about it.

    Attributes:
        name: Of the field.
        part: Of the candidate.
        cells: (n,); the empty text where a row does not have the field.
        spec: Of the field, as a space document has it.
    """

    name: str
    part: Part
    cells: NDArray[Any]
    spec: Any = None

    def indices(self, values: Sequence[Cell]) -> NDArray[np.int16]:
        """Return the place of each cell in `values`, (n,); -1 where it is none of them."""
        return _parsed(self.cells, values)


def field_cells(description: Description, columns: Cells, source: str) -> list[FieldCells]:
    """Return the fields of a description, with specs unless it brings its space.

    Raises:
        UserError: A column is unknown, or a code cannot be split.
    """
    if description.space is not None:
        space = Space.from_dict({"name": description.name, **description.space})
        return [
            FieldCells(field.name, field.part, _column(columns, field.name, "space", source))
            for field in space.fields
            if field.kind != "fixed"
        ]
    parts: tuple[tuple[Part, dict[str, ColumnSpec]], ...] = (
        ("architecture", description.architecture),
        ("recipe", description.recipe),
    )
    fields = []
    for part, specs in parts:
        for name, spec in specs.items():
            cells = _column(columns, name, part, source)
            if spec.split is None and cells.ndim == 1:
                fields.append(FieldCells(name, part, cells, _spec(cells, spec.values)))
            else:
                fields += _code(name, part, cells, spec, source)
    return fields


def _code(name: str, part: Part, cells: NDArray[Any], spec: ColumnSpec, source: str) -> list[FieldCells]:
    """Return one field per position of a code, or per group of the pattern; and the length where it differs."""
    if cells.ndim > 1:
        elements = [[str(cell) for cell in row] for row in cells.tolist()]
    else:
        elements = [
            list(code) if spec.split == "characters" else code.split(spec.split) for code in cells.tolist()
        ]
    lengths = np.array([len(code) for code in elements])
    fields = []
    shortest, longest = int(lengths.min()), int(lengths.max())
    if shortest < longest:
        fields.append(FieldCells(f"{name}.length", part, lengths, {"range": [shortest, longest]}))
    for place in range(longest):
        column = [code[place] if place < len(code) else "" for code in elements]
        when = {"when": {f"{name}.length": f"> {place}"}} if place >= shortest else {}
        for suffix, mine in _groups(column, spec.pattern, f"{name}{place + 1}", source).items():
            fields.append(FieldCells(suffix, part, mine, {**_spec(mine, spec.values), **when}))
    return fields


def _groups(column: list[str], pattern: str | None, name: str, source: str) -> dict[str, NDArray[Any]]:
    """Return the cells of each field at one position of a code."""
    if pattern is None:
        return {name: np.array(column)}
    matches = [re.fullmatch(pattern, element) for element in column]
    for row, (match, element) in enumerate(zip(matches, column, strict=True)):
        if match is None and element:
            raise UserError(f"{source}: {name} is {element!r} in row {row + 1}; the pattern must match it")
    groups = re.compile(pattern).groupindex
    return {
        f"{name}.{group}": np.array([match[group] if match else "" for match in matches]) for group in groups
    }


def _spec(cells: NDArray[Any], values: Any) -> dict[str, Any]:
    """Return a field of a space document: a range where numbers have equal steps, else choices."""
    legal = _read(cells) if values == "read" else list(values)
    if len(legal) == 1:
        return {"value": legal[0]}
    if any(isinstance(value, bool | str) for value in legal):
        return {"choices": legal}
    exact = [Decimal(repr(value)) for value in legal]
    steps = {after - before for before, after in pairwise(exact)}
    if len(steps) > 1 or min(steps) <= 0:
        return {"choices": legal}
    unit = min(Decimal(1), *(Decimal(1).scaleb(int(value.as_tuple().exponent)) for value in exact))
    low, high, step = (int(value / unit) for value in (exact[0], exact[-1], steps.pop()))
    return {"range": [low, high, step], **({"unit": float(unit)} if unit < 1 else {})}


def _read(cells: NDArray[Any]) -> list[Cell]:
    """Return the values that a column has, sorted: truth values, numbers if all are numbers, else text."""
    texts = [text for text in np.unique(cells).astype(str).tolist() if text]
    if {text.lower() for text in texts} <= _WORDS.keys():
        return sorted(_WORDS[text.lower()] for text in texts)
    found = [_number(text) for text in texts]
    if not np.isfinite(found).all():
        return sorted(texts)
    return sorted({int(number) if number.is_integer() else number for number in found})


def _parsed(cells: NDArray[Any], values: Sequence[Cell]) -> NDArray[np.int16]:
    """Return the place of each cell in `values`, (n,): numbers by value, truth also as 0 and 1; -1 for none."""
    texts, which = np.unique(cells, return_inverse=True)
    return np.array([_place(text, values) for text in texts.astype(str).tolist()], np.int16)[which]


def _place(text: str, values: Sequence[Cell]) -> int:
    for place, value in enumerate(values):
        if isinstance(value, str):
            same = text == value
        elif isinstance(value, bool):
            same = _WORDS.get(text.lower(), _number(text)) == value
        else:
            same = text.lower() not in _WORDS and _number(text) == value
        if same:
            return place
    return -1
