"""How often does a recipe switch the ranking of two architectures, beyond what another seed does?

    python -m bench.ranking_switches [--json FILE] [--tables FOLDER]

The FBNetV3 paper's Table 1 shows one pair of networks that two recipes rank differently. Here architectures of about the
same cost are each trained by the same recipes, with two seeds and splits of the photos each (`tabular/photos.py`, the
kind ``grid``): of every pair of architectures and every pair of recipes, how often does the first seed with one recipe
rank them otherwise than the second seed with the other? As two seeds of one recipe disagree too, their share is taken
off. So a recipe that changed nothing would give 0.

Figures, over all tables: `ranking_switches`, the difference in percent of the pairs, with its error by the jackknife
over the architectures of all tables; `ranking_switches_by_recipe` and `ranking_switches_by_seed`, the two shares. The
rows have them by table, and the clearest pair: the architectures and recipes whose order changes by most, in the mean of
both seeds.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import harness
from bench.tabular.photo_table import PhotoTable, read_table
from bench.tabular.photos import GRID, TABLES

Floats = NDArray[np.float64]

SEEDS = 2


def cells(table: PhotoTable) -> Floats:
    """Return the final accuracies on all held-out photos (architectures, recipes, seeds); nan where none is there."""
    found = np.full((GRID[0] * GRID[1], SEEDS), np.nan)
    found[table.number, table.repeat] = table.accuracy()[:, -1]
    return found.reshape(*GRID, SEEDS)


def shares(accuracies: Floats) -> tuple[float, float]:
    """Return how often two architectures are ranked otherwise by another recipe and seed, and by another seed alone.

    Args:
        accuracies: (A, R, 2); pairs of which one is nan, or that are equal, do not count.
    """
    by_recipe: list[bool] = []
    by_seed: list[bool] = []
    for one, other in itertools.combinations(range(len(accuracies)), 2):
        signs = np.sign(accuracies[one] - accuracies[other])
        for first in range(len(signs)):
            for second in range(len(signs)):
                product = signs[first, 0] * signs[second, 1]
                if np.isfinite(product) and product != 0:
                    (by_seed if first == second else by_recipe).append(bool(product < 0))
    return _mean(by_recipe), _mean(by_seed)


def _mean(values: Sequence[bool]) -> float:
    return float(np.mean(values)) if values else float("nan")


def clearest(accuracies: Floats) -> dict[str, Any]:
    """Return the architectures and recipes whose order changes by most: places, and both differences in points."""
    means = accuracies.mean(axis=2)

    def change(one: int, other: int, first: int, second: int) -> float:
        left = means[one, first] - means[other, first]
        right = means[other, second] - means[one, second]
        return float(min(left, right))

    quadruples = itertools.product(
        itertools.permutations(range(len(means)), 2), itertools.combinations(range(means.shape[1]), 2)
    )
    (one, other), (first, second) = max(
        quadruples, key=lambda pair: np.nan_to_num(change(*pair[0], *pair[1]), nan=-np.inf)
    )
    return {
        "architectures": [one, other],
        "recipes": [first, second],
        "first_by": float(means[one, first] - means[other, first]),
        "second_by": float(means[other, second] - means[one, second]),
    }


def figures_of(tables: Iterable[Floats]) -> dict[str, float]:
    """Return the shares over all tables in percent, and the difference with its error."""
    tables = list(tables)

    def beyond(left_out: tuple[int, int] | None) -> tuple[float, float]:
        found = [
            shares(np.delete(table, left_out[1], axis=0) if left_out and left_out[0] == number else table)
            for number, table in enumerate(tables)
        ]
        by_recipe, by_seed = np.mean(found, axis=0)
        return float(by_recipe), float(by_seed)

    by_recipe, by_seed = beyond(None)
    left = [(number, place) for number, table in enumerate(tables) for place in range(len(table))]
    without = np.array([np.subtract(*beyond(one)) for one in left])
    error = float(np.sqrt((len(left) - 1) / len(left) * ((without - without.mean()) ** 2).sum()))
    return {
        "ranking_switches": 100 * (by_recipe - by_seed),
        "ranking_switches_error": 100 * error,
        "ranking_switches_by_recipe": 100 * by_recipe,
        "ranking_switches_by_seed": 100 * by_seed,
    }


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tables", type=Path, default=TABLES, metavar="FOLDER", help="where the tables are")


def main() -> None:
    """Run the benchmark."""
    options = harness.arguments(__doc__, add=_options)
    files = sorted(options.tables.glob("*-grid.npz"))
    if not files:
        raise SystemExit(
            f"no grids in {options.tables}; make them by python -m bench.tabular.photos --kinds grid"
        )
    tables = {file.stem.rpartition("-")[0]: read_table(file) for file in files}
    rows = []
    for name, table in tables.items():
        by_recipe, by_seed = shares(cells(table))
        rows.append(
            {
                "photos": name,
                "trainings": len(table),
                "by_recipe": 100 * by_recipe,
                "by_seed": 100 * by_seed,
                **clearest(cells(table)),
            }
        )
    harness.report(figures_of(map(cells, tables.values())), rows, options.json)


if __name__ == "__main__":
    main()
