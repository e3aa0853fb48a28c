"""Finished trainings as a search meets them: a space, genes, statistics and labels.

`load_dataset` reads what a description (`description.py`) names. Rows of the same candidate become one: the mean of
their labels, curves and statistics. More is better of every label.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.harness import HOW_TO_NAME_DATA
from bench.tabular.columns import Cells, FieldCells, field_cells, numbers, read_columns, selected
from bench.tabular.description import Description, TargetSpec, read_description
from narsfast.cost import Counter
from narsfast.errors import UserError
from narsfast.predictor import Statistics
from narsfast.space import Genes, Space

Floats = NDArray[np.float64]

DESCRIPTIONS = Path(__file__).parent / "descriptions"
FEWEST = 20
"""Rows that a dataset must have: with fewer, half of them are too few to rank."""


@dataclass(frozen=True, eq=False)
class TabularDataset:
    """Finished trainings of n different candidates.

    Attributes:
        name: It prefixes figures.
        space: Of the candidates.
        genes: (n, F) int16, canonical, no two equal.
        counter: Statistics of the candidates, and of others too where the space has MBConv stages.
        statistics: (n, S), the counter's columns.
        targets: (n, seeds) float64, labels: more is better.
        curves: (n, E) float64, labels after each epoch; None where the dataset has none.
    """

    name: str
    space: Space
    genes: Genes
    counter: Statistics
    statistics: NDArray[Any]
    targets: Floats
    curves: Floats | None

    def __len__(self) -> int:
        return len(self.genes)

    @property
    def is_grid(self) -> bool:
        """Whether every candidate of the space has a row."""
        return self.space.size() == len(self)

    def labels(self, seed: int) -> Floats:
        """Return the labels of one training seed, (n,), each in its turn: what a search with this seed may see."""
        labels: Floats = self.targets[:, seed % self.targets.shape[1]]
        return labels


class RowCounter:
    """Statistics of a dataset's candidates, looked up by key.

    Attributes:
        space: Of the candidates.
        names: Of the statistics.
    """

    def __init__(self, space: Space, names: tuple[str, ...], genes: Genes, statistics: Floats) -> None:
        self.space = space
        self.names = names
        keys = space.keys(genes)
        order = np.argsort(keys)
        self._keys = keys[order]
        self._statistics = statistics[order]

    def __call__(self, genes: Genes, /) -> Floats:
        """Look up canonical genes (n, F) int16: statistics (n, len(names)) float64.

        Raises:
            ValueError: A candidate has no row.
        """
        keys = self.space.keys(genes)
        places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        missing = self._keys[places] != keys
        if missing.any():
            raise ValueError(
                f"candidate {self.space.ids(genes[missing][:1])[0]} has no row in {self.space.name}"
            )
        return self._statistics[places]


def load_dataset(path: Path, data: Path | None = None) -> TabularDataset:
    """Read a dataset.

    Args:
        path: Its description.
        data: Folder for a relative `file` that is not beside the description.

    Raises:
        UserError: The description or the file is wrong: one sentence with field, value and remedy.
    """
    description = read_description(path)
    columns = read_columns(_find(description.file, path, data), description.grid, path.name)
    for name, wanted in description.rows.items():
        columns = selected(columns, name, wanted, path.name)
    if (found := len(next(iter(columns.values())))) < FEWEST:
        raise UserError(
            f"{path.name}: {description.file} has {found} rows that count; give at least {FEWEST}"
        )
    fields = field_cells(description, columns, path.name)
    space = _space(description, fields, path.name)
    genes = _genes(space, fields, path.name)
    labels = _labels(columns, description.target, description.target.columns, path.name)
    curves = _curves(columns, description, path.name)
    statistics = [
        numbers(columns, spec.column, f"statistics.{name}", path.name)[:, :1] * spec.factor
        for name, spec in description.statistics.items()
    ]
    counted = np.concatenate([np.zeros((len(genes), 0)), *statistics], axis=1)
    genes, labels, counted, curves = _distinct(space, genes, labels, counted, curves)
    if len(genes) < FEWEST:
        raise UserError(
            f"{path.name}: {description.file} has {len(genes)} different candidates; give at least {FEWEST}"
        )
    counter: Statistics = (
        Counter(space) if space.stages else RowCounter(space, tuple(description.statistics), genes, counted)
    )
    return TabularDataset(description.name, space, genes, counter, counter(genes), labels, curves)


def _find(file: str, description: Path, data: Path | None) -> Path:
    places = [description.parent / file, *([data / file] if data is not None else [])]
    for place in places:
        if place.is_file():
            return place
    looked = " nor in ".join(str(place.parent) for place in places)
    raise UserError(f"{description.name}: file is {file!r}, which is not in {looked}; {HOW_TO_NAME_DATA}")


def _space(description: Description, fields: list[FieldCells], source: str) -> Space:
    """Return the description's space, or one made of the fields."""
    if description.space is not None:
        if description.statistics:
            raise UserError(
                f"{source}: statistics is given beside space, whose counter gives them; leave it out"
            )
        return Space.from_dict({"name": description.name, **description.space})
    parts: dict[str, dict[str, Any]] = {"architecture": {}, "recipe": {}}
    for field in fields:
        parts[field.part][field.name] = field.spec
    return Space.from_dict({"name": description.name, **parts})


def _genes(space: Space, fields: list[FieldCells], source: str) -> Genes:
    """Return canonical genes (n, F); a cell that no value of an active field equals is an error."""
    by_name = {field.name: field for field in fields}
    genes = np.zeros((len(fields[0].cells), len(space.fields)), np.int16)
    unknown = np.zeros(genes.shape, np.bool_)
    for column, field in enumerate(space.fields):
        if field.name in by_name:
            genes[:, column] = by_name[field.name].indices(field.values)
            unknown[:, column] = genes[:, column] < 0
        elif field.kind != "fixed":
            raise UserError(
                f"{source}: space has a field {field.name} without a column of that name; fix or share it"
            )
    genes = np.maximum(genes, 0)
    wrong = np.argwhere(unknown & space.active(genes))
    if len(wrong):
        row, column = wrong[0]
        field = space.fields[column]
        value = by_name[field.name].cells[row]
        raise UserError(
            f"{source}: {field.name} is {str(value)!r} in row {row + 1}; it must be {field.legal()}"
        )
    return space.canonical(genes)


def _labels(columns: Cells, target: TargetSpec, names: tuple[str, ...], source: str) -> Floats:
    values = np.concatenate([numbers(columns, name, "target", source) for name in names], axis=1)
    if target.transformation == "log":
        if values.min() <= 0:
            raise UserError(
                f"{source}: target holds {values.min():g}; the transformation log needs values above 0"
            )
        values = np.log(values)
    return values * (target.scale if target.sense == "maximize" else -target.scale)


def _curves(columns: Cells, description: Description, source: str) -> Floats | None:
    if description.curves is None:
        return None
    names: list[str] = []
    while (name := description.curves.replace("{i}", str(len(names) + 1))) in columns:
        names.append(name)
    if not names:
        first = description.curves.replace("{i}", "1")
        raise UserError(
            f"{source}: curves is {description.curves!r}, but there is no column {first!r}; name them right"
        )
    return _labels(columns, description.target, tuple(names), source)


def _distinct(space: Space, genes: Genes, *values: Floats | None) -> tuple[Any, ...]:
    """Return genes of different candidates in the order of their first rows, and the means of their rows' values."""
    _, first, which, count = np.unique(
        space.keys(genes), return_index=True, return_inverse=True, return_counts=True
    )
    order = np.argsort(first)
    means: list[Floats | None] = []
    for value in values:
        if value is None:
            means.append(None)
            continue
        sums = np.zeros((len(first), value.shape[1]))
        np.add.at(sums, which, value)
        means.append((sums / count[:, None])[order])
    return genes[first[order]], *means
