"""How different two candidates are, field by field.

Every searched field places its values at points such that two of them, drawn at random, have the mean squared distance
2, that of a standardized number. So no field weighs more because it has more values, or more columns in one-hot form.
The squared distance of two candidates in a part is the mean over the part's searched fields, weighted by relevance.

- A range, or a field with ordered numbers, is a line: its values have even distances, as their ranks have. Ordered
  numbers get the share `IDENTITY` from being different at all, as a line alone would have neighbors nearly equal.
- Values of any other field are all as far from each other.
- What an inactive field would be is unknown: it is the middle of the line, or as far from each value.

All of this is this project's choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from narsfast.space import Field, Genes, Space

from ._inputs import is_ordered

Floats = NDArray[np.float64]

IDENTITY = 0.1
"""Share of an ordered field's mean squared distance that any two of its values have."""


@dataclass(frozen=True)
class Metric:
    """The squared distances between values of the searched fields of one part.

    Attributes:
        columns: (K,) int64, the fields.
        tables: One per field, (values + 1, values + 1) float64; the last row and column are those of the inactive field.
    """

    columns: NDArray[np.int64]
    tables: tuple[Floats, ...]

    @classmethod
    def of(cls, space: Space, part: Literal["architecture", "recipe"]) -> Metric:
        """Return the metric of a part of a space."""
        searched = [
            (number, field)
            for number, field in enumerate(space.fields)
            if field.part == part and len(field.values) > 1
        ]
        tables = tuple(_distances(_points(field)) for _, field in searched)
        return cls(np.array([number for number, _ in searched], np.int64), tables)

    def distances(self, left: Genes, right: Genes) -> Floats:
        """Return squared distances (K, n, m) between codes (n, F) and (m, F); see `codes`."""
        rows = [
            table[left[:, column, None], right[None, :, column]]
            for column, table in zip(self.columns, self.tables, strict=True)
        ]
        return np.array(rows).reshape(len(rows), len(left), len(right))


def codes(space: Space, genes: Genes) -> Genes:
    """Return canonical genes (n, F) with the number of values of a field where it is inactive."""
    return np.where(space.active(genes), genes, space.sizes).astype(np.int16)


def _points(field: Field) -> Floats:
    """Return points (values + 1, D) of a field's values, and of the inactive field."""
    count = len(field.values)
    line = np.append(np.linspace(-0.5, 0.5, count), 0.0)[:, None]
    if field.kind == "range":
        return _standard(line)
    apart = _standard(np.eye(count + 1, count))
    if not is_ordered(field):
        return apart
    return np.concatenate([np.sqrt(IDENTITY) * apart, np.sqrt(1 - IDENTITY) * _standard(line)], axis=1)


def _standard(points: Floats) -> Floats:
    """Scale points so that two of them but the last have the mean squared distance 2."""
    scaled: Floats = points * np.sqrt(2 / _distances(points[:-1]).mean())
    return scaled


def _distances(points: Floats) -> Floats:
    squares: Floats = np.square(points[:, None] - points[None, :]).sum(axis=-1)
    return squares
