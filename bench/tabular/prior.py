"""What do our own trainings say of recipes, and does it help on photos that they have not seen?

    python -m bench.tabular.prior [--quick] [--json FILE] [--tables FOLDER] [--draws N] [--write]

Makes `narsfast/predictor/priors.json` (`--write`) from the tables of real trainings (`photos.py`): a ridge over the
standardized statistics and the recipe's fields on normal scores of the accuracies, with slopes that are shared by all
data sets and parts of each data set's own, from scratch and from a parent. Numbers enter as lines and parabolas, in
logarithms where they span a factor of four.

The portfolio is chosen greedily from the recipes that were trained: of slopes drawn for a data set that is not known yet
the best of the portfolio has the highest mean.

Each data set is then left out: what the prior of the others gives a process with 12, 24 and 48 labels, in Kendall's tau
with the accuracies of the candidates that it did not learn, over draws of labels and of the validation split (100 unless
said otherwise). Figures: `prior_gain_24` and so on with their errors, by kind (`scratch_prior_gain_24`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from bench import harness
from bench.tabular.photo_table import PhotoTable, read_table
from bench.tabular.photos import TABLES, counter_of
from bench.tabular.replays import dataset_of, drawn
from narsfast.common.seeds import derive_seed
from narsfast.cost import Counter
from narsfast.predictor import Effects, Noise, Prior, Process
from narsfast.predictor._inputs import Scaling
from narsfast.predictor._prior import FILE
from narsfast.report._collect import kendall_tau
from narsfast.space import Genes, Space, Value

Floats = NDArray[np.float64]

KINDS = {"scratch": "main", "finetune": "parent"}
"""Kind of prior, and of the tables that it is made of."""
SIZES = (12, 24, 48)
IMAGES = 341
SHARED, OWN = 0.3, 0.15
"""Prior deviations of a slope that all data sets share, and of what each adds to it, in normal scores."""
LOG_FROM = 4.0
"""Ratio of the largest to the smallest positive number from which a field is taken in its logarithm."""
PORTFOLIO, SLOPES = 8, 512


@dataclass(frozen=True, eq=False)
class DataSet:
    """The trainings of one data set, (n,) of them.

    Attributes:
        name: Of the photos.
        table: Of all.
        genes: (n, F).
        counter: Of these.
        scores: (n,) normal scores of their accuracies on all held-out photos.
    """

    name: str
    table: PhotoTable
    genes: Genes
    counter: Counter
    scores: Floats

    @classmethod
    def read(cls, file: Path) -> DataSet:
        """Read a table."""
        name, _, kind = file.stem.rpartition("-")
        table, counter = read_table(file), counter_of(name, kind)
        known = dataset_of(file.stem, table, counter.space, counter)
        ranks = rankdata(known.targets[:, -1])
        return cls(name, table, known.genes, counter, norm.ppf((ranks - 0.5) / len(ranks)))

    @property
    def space(self) -> Space:
        """Of the candidates."""
        return self.counter.space

    @property
    def statistics(self) -> Floats:
        """Standardized, (n, S)."""
        counted = self.counter(self.genes)
        return Scaling.of(counted)(counted).astype(np.float64)


class Recipes:
    """How recipes of several spaces become numbers: columns of every field that one of them searches."""

    def __init__(self, spaces: Sequence[Space]) -> None:
        self.values: dict[str, list[Value]] = {}
        for space in spaces:
            for field in space.fields:
                if field.part == "recipe" and len(field.values) > 1:
                    known = self.values.setdefault(field.name, [])
                    known += [value for value in field.values if value not in known]
        for name, values in self.values.items():
            if _numeric(values):
                self.values[name] = sorted(values)  # type: ignore[type-var]

    def log(self, name: str) -> bool:
        """Return whether a field is taken in its logarithm."""
        values = self.values[name]
        return (
            _numeric(values) and values[0] > 0 and values[-1] / values[0] >= LOG_FROM  # type: ignore[operator]
        )

    def columns(self, name: str, values: Sequence[Value | None]) -> Floats:
        """Return the columns of a field (n, K) for its values; 0 where it is not active."""
        known, active = self.values[name], np.array([value is not None for value in values])
        if not _numeric(known):
            found = np.array([[value == one for one in known] for value in values], np.float64)
        else:
            scale = np.log if self.log(name) else np.asarray
            low, high = scale(float(known[0])), scale(float(known[-1]))  # type: ignore[arg-type]
            numbers = np.array([float(known[0] if value is None else value) for value in values])  # type: ignore[arg-type]
            place = 2 * (scale(numbers) - low) / (high - low) - 1
            found = np.stack([place, place**2 - 0.5], axis=1)
        return found * active[:, None]

    def matrix(self, space: Space, genes: Genes) -> Floats:
        """Return the columns of all fields (n, K)."""
        recipes = [dict(candidate.recipe) for candidate in space.decode(genes)]
        return np.concatenate(
            [self.columns(name, [one.get(name) for one in recipes]) for name in self.values], axis=1
        )


def _numeric(values: Sequence[Value]) -> bool:
    return len(values) > 2 and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in values
    )


@dataclass(frozen=True, eq=False)
class Fitted:
    """The slopes that data sets share.

    Attributes:
        recipes: Whose columns they are.
        statistics: Names of the statistics, whose slopes come first.
        mean: (S + K,).
        covariance: (S + K, S + K).
    """

    recipes: Recipes
    statistics: tuple[str, ...]
    mean: Floats
    covariance: Floats


def fit(sets: Sequence[DataSet]) -> Fitted:
    """Fit the ridge; the noise variance of the scores is what it leaves of them."""
    recipes, statistics = Recipes([one.space for one in sets]), sets[0].counter.names
    blocks = [np.concatenate([one.statistics, recipes.matrix(one.space, one.genes)], axis=1) for one in sets]
    width, noise = blocks[0].shape[1], 0.5
    for _ in range(20):
        # What a data set's own slopes add is noise that its candidates share.
        precision, weighted = np.eye(width) / SHARED**2, np.zeros(width)
        for one, rows in zip(sets, blocks, strict=True):
            covariance = noise * np.eye(len(rows)) + OWN**2 * rows @ rows.T + 1.0  # and an intercept
            solved = np.linalg.solve(covariance, np.column_stack([rows, one.scores]))
            precision += rows.T @ solved[:, :-1]
            weighted += rows.T @ solved[:, -1]
        mean = np.linalg.solve(precision, weighted)
        left = [
            one.scores - rows @ mean - (one.scores - rows @ mean).mean()
            for one, rows in zip(sets, blocks, strict=True)
        ]
        noise = max(0.05, float(np.concatenate(left).var()))
    return Fitted(recipes, statistics, mean, np.linalg.inv(precision))


def prior_of(sets: Sequence[DataSet]) -> Prior:
    """Return the prior that these data sets give."""
    fitted = fit(sets)
    recipes, count = fitted.recipes, len(fitted.statistics)
    effects, start = {}, count
    for name, values in recipes.values.items():
        columns = recipes.columns(name, values)
        found = columns @ fitted.mean[start : start + columns.shape[1]]
        start += columns.shape[1]
        centered = np.round(found - found.mean(), 4).tolist()
        effects[name] = Effects(tuple(values), tuple(centered), recipes.log(name))
    slopes = dict(zip(fitted.statistics, np.round(fitted.mean[:count], 4).tolist(), strict=True))
    return Prior(slopes, effects, portfolio(fitted, sets), {one.name: len(one.genes) for one in sets})


def portfolio(fitted: Fitted, sets: Sequence[DataSet]) -> tuple[Mapping[str, Value], ...]:
    """Choose recipes for a data set that is not known yet, of those that were trained on the known ones."""
    recipes, count = fitted.recipes, len(fitted.statistics)
    rows = np.concatenate([recipes.matrix(one.space, one.genes) for one in sets])
    known = [
        {name: candidate.recipe[name] for name in recipes.values if name in candidate.recipe}
        for one in sets
        for candidate in one.space.decode(one.genes)
    ]
    width = len(fitted.mean)
    random = np.random.default_rng(derive_seed(0, "portfolio"))
    slopes = random.multivariate_normal(
        fitted.mean, fitted.covariance + OWN**2 * np.eye(width), SLOPES, method="eigh"
    )
    worth, best, chosen = rows @ slopes[:, count:].T, np.full(SLOPES, -np.inf), list[int]()
    for _ in range(min(PORTFOLIO, len(known))):
        gain = np.maximum(worth, best).mean(axis=1)
        gain[chosen] = -np.inf
        chosen.append(int(np.argmax(gain)))
        best = np.maximum(best, worth[chosen[-1]])
    return tuple(known[row] for row in chosen)


def gains(left_out: DataSet, prior: Prior, sizes: Sequence[int], draw: int) -> list[dict[str, Any]]:
    """Return what a prior gains on a data set, one row per number of labels."""
    torch.set_num_threads(1)
    dataset = dataset_of(left_out.name, left_out.table, left_out.space, left_out.counter)
    replay = drawn(left_out.table, dataset, [], IMAGES, draw)
    order = np.random.default_rng(derive_seed(draw, "labels")).permutation(len(dataset))
    rows = []
    for size in sizes:
        if size > len(dataset) // 2:
            continue
        known, others = order[:size], order[size:]
        labels = replay.labels(known)
        taus = {}
        for name, one in (("with", prior), ("without", None)):
            process = Process.of(dataset.counter, dataset.genes, Noise(IMAGES), one)
            scores = process.fit(dataset.genes[known], labels, 0).scores(dataset.genes[others])
            taus[name] = kendall_tau(scores.tolist(), replay.worth[others].tolist()) or 0.0
        rows.append({"photos": left_out.name, "draw": draw, "labels": size, **taus})
    return rows


def figures_of(kind: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the mean gains over data sets and draws."""
    figures: dict[str, float] = {}
    for size in sorted({row["labels"] for row in rows}):
        mine = [row for row in rows if row["labels"] == size]
        pairs = [row["with"] - row["without"] for row in mine]
        figures |= harness.mean_and_error(f"{kind}_prior_gain_{size}", pairs)
        figures[f"{kind}_tau_{size}"] = float(np.mean([row["with"] for row in mine]))
    return figures


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tables", type=Path, default=TABLES, metavar="FOLDER", help="where the tables are")
    parser.add_argument("--draws", type=int, default=100, help="draws of labels and validation splits")
    parser.add_argument("--write", action="store_true", help="write the prior that narsfast ships")


def main() -> None:
    """Make the prior, and judge it on data sets that are left out."""
    options = harness.arguments(__doc__, add=_options)
    figures: dict[str, float] = {}
    rows: list[dict[str, Any]] = []
    made: dict[str, Any] = {}
    for kind, of_tables in KINDS.items():
        files = sorted(options.tables.glob(f"*-{of_tables}.npz"))
        sets = [DataSet.read(file) for file in files]
        if len(sets) < 2:
            continue
        mine = []
        for number, left_out in enumerate(sets):
            prior = prior_of([*sets[:number], *sets[number + 1 :]])
            for draw in range(2 if options.quick else options.draws):
                mine += gains(left_out, prior, SIZES[:2] if options.quick else SIZES, draw)
        figures |= figures_of(kind, mine)
        rows += [{"kind": kind, **row} for row in mine]
        made[kind] = prior_of(sets).to_dict()
    if not made:
        raise SystemExit(
            f"fewer than two tables of a kind in {options.tables}; make them by bench.tabular.photos"
        )
    if options.write:
        FILE.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    harness.report(figures, rows, options.json)


if __name__ == "__main__":
    main()
