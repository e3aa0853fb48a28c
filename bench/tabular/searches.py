"""Searches of a dataset: narsfast's, with an ingredient taken away, and its rivals.

A search trains rows of a dataset one after the other, which is to look their labels up, and sees those of one training
seed only. `SEARCHES` names all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

import narsfast.predictor
import narsfast.search
from bench.tabular.dataset import TabularDataset
from bench.tabular.jobs import digest
from bench.tabular.predictors import inputs, no_pretraining, pretrained, regressor
from narsfast.common.seeds import derive_seed
from narsfast.common.trial import Trial
from narsfast.predictor import Predictor
from narsfast.search import PickedBatch, Pool, first_batch, optimize
from narsfast.space import Part

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]

BATCH = 5
LARGER_BATCH = 10
POPULATION, TOURNAMENT = 20, 5
"""Of regularized evolution: a population of an eighth of the largest number of trainings, a quarter of it compared."""
MOST_REPEATS = 100
"""So many proposals in a row of trained candidates end a rival's search."""


@dataclass(frozen=True)
class Trained:
    """What a search trained.

    Attributes:
        rows: (k,) rows of the dataset, all different, in the order trained; fewer than asked for where the search had
            no more candidates.
        labels: (k,) what the search saw of them.
        epochs: Epochs trained, over those of complete trainings; 1 without curves.
    """

    rows: Rows
    labels: Floats
    epochs: float = 1.0


Search = Callable[[TabularDataset, int, int], Trained | None]
"""Dataset, number of trainings and seed; None where it does not apply."""


# Ours


def narsfast_search(
    dataset: TabularDataset,
    trainings: int,
    seed: int,
    *,
    make: Callable[[TabularDataset, int], Predictor] = pretrained,
    batch: int | None = None,
    early_stop: bool = True,
    correlation: Literal["spearman", "kendall"] = "kendall",
    rows: Rows | None = None,
) -> Trained:
    """Run Algorithm 1 on a pool of rows, every row if none are named, in batches of `BATCH` if no other size is."""
    mine = np.arange(len(dataset)) if rows is None else rows
    trainings = min(trainings, len(mine))
    batch = min(batch or BATCH, trainings)
    curves = _curves(dataset, seed, early_stop)
    pool = Pool(dataset.genes[mine], dataset.statistics[mine])

    def evaluate(picked: PickedBatch) -> Iterator[Trial]:
        for candidate, row in zip(dataset.space.ids(picked.genes), mine[picked.indices], strict=True):
            yield Trial(candidate, tuple(curves[row, : picked.epochs].tolist()), "ok", picked.epochs, 0.0)

    outcome = optimize(
        pool,
        make(dataset, seed),
        evaluate,
        batch=batch,
        iterations=trainings // batch,
        epochs=curves.shape[1],
        chance=float(curves.min()),
        seed=derive_seed(seed, "optimise"),
        correlation=correlation,
    )
    order = mine[np.concatenate([picked.indices for picked in outcome.batches])]
    spent = sum(picked.epochs * len(picked.indices) for picked in outcome.batches)
    return Trained(order, curves[order, outcome.early_stop_epoch - 1], spent / (curves.shape[1] * len(order)))


def _curves(dataset: TabularDataset, seed: int, early_stop: bool) -> Floats:
    """Return what trainings show, (n, E); one epoch without early stopping."""
    if dataset.curves is not None and early_stop:
        return dataset.curves
    return dataset.labels(seed)[:, None]


def larger_batches(dataset: TabularDataset, trainings: int, seed: int) -> Trained:
    """Search in batches of `LARGER_BATCH`."""
    return narsfast_search(dataset, trainings, seed, batch=LARGER_BATCH)


def one_shot(dataset: TabularDataset, trainings: int, seed: int) -> Trained:
    """Search in two batches, of which the first is drawn at random."""
    return narsfast_search(dataset, trainings, seed, batch=-(-trainings // 2))


def with_spearman(dataset: TabularDataset, trainings: int, seed: int) -> Trained | None:
    """Search in larger batches, stopped early by the other correlation."""
    if dataset.curves is None:
        return None
    return narsfast_search(dataset, trainings, seed, batch=LARGER_BATCH, correlation="spearman")


def without_early_stop(dataset: TabularDataset, trainings: int, seed: int) -> Trained | None:
    """Search with complete trainings only."""
    if dataset.curves is None:
        return None
    return narsfast_search(dataset, trainings, seed, early_stop=False)


def only(part: Part, dataset: TabularDataset, trainings: int, seed: int) -> Trained | None:
    """Search one part of a joint grid, the other one fixed to the middle of each field's values."""
    space = dataset.space
    if not (dataset.is_grid and space.searches_architecture and space.searches_recipe):
        return None
    fixed = space.recipe_fields if part == "architecture" else space.architecture_fields
    rows = np.flatnonzero((dataset.genes[:, fixed] == (space.sizes[fixed] - 1) // 2).all(axis=1))
    return narsfast_search(dataset, trainings, seed, rows=rows)


# Rivals


def random_search(dataset: TabularDataset, trainings: int, seed: int) -> Trained:
    """Train rows in random order."""
    order = np.random.default_rng(derive_seed(seed, "random search")).permutation(len(dataset))[:trainings]
    return Trained(order, dataset.labels(seed)[order])


def forest_search(dataset: TabularDataset, trainings: int, seed: int) -> Trained:
    """Search in the same batches, the first one included, but let a random forest pick the others."""
    columns, labels = inputs(dataset), dataset.labels(seed)
    pool = Pool(dataset.genes, dataset.statistics)
    order = first_batch(pool, min(BATCH, trainings), derive_seed(seed, "optimise"))
    while len(order) < trainings:
        forest = regressor("random_forest", derive_seed(seed, "forest", len(order)))
        forest.fit(columns[order], labels[order])
        left = np.setdiff1d(np.arange(len(dataset)), order)
        best = np.argsort(-forest.predict(columns[left]), kind="stable")[:BATCH]
        order = np.concatenate([order, left[best]])
    return Trained(order[:trainings], labels[order[:trainings]])


def evolution(dataset: TabularDataset, trainings: int, seed: int) -> Trained | None:
    """Run regularized evolution: the oldest dies, the best of a few is mutated in one field; trained twice is free."""
    if not dataset.is_grid:
        return None
    rng = np.random.default_rng(derive_seed(seed, "evolution"))
    labels, find = dataset.labels(seed), _finder(dataset)
    searched = np.flatnonzero(dataset.space.sizes > 1)
    order = rng.permutation(len(dataset))[: min(POPULATION, trainings)].tolist()
    alive, repeats = list(order), 0
    while len(order) < trainings and repeats < MOST_REPEATS:
        rivals = rng.choice(len(alive), TOURNAMENT, replace=False)
        child = dataset.genes[max((alive[rival] for rival in rivals), key=lambda row: labels[row])].copy()
        field = rng.choice(searched)
        child[field] = (child[field] + rng.integers(1, dataset.space.sizes[field])) % dataset.space.sizes[
            field
        ]
        row = find(child)
        repeats = repeats + 1 if row in order else 0
        if not repeats:
            order.append(row)
        alive = [*alive[1:], row]
    return Trained(np.array(order), labels[order])


def tpe(dataset: TabularDataset, trainings: int, seed: int) -> Trained | None:
    """Run Optuna's TPE with its defaults; a candidate that it asks for again is free."""
    if not dataset.is_grid:
        return None
    try:
        import optuna
    except ImportError:
        raise SystemExit(
            "variant tpe needs optuna; pip install 'narsfast[bench]', or name other --variants"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    labels, find = dataset.labels(seed), _finder(dataset)
    sampler = optuna.samplers.TPESampler(seed=derive_seed(seed, "tpe") % 2**32)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    order: list[int] = []
    repeats = 0
    while len(order) < trainings and repeats < MOST_REPEATS:
        trial = study.ask()
        genes = np.zeros(len(dataset.space.fields), np.int16)
        for column, field in enumerate(dataset.space.fields):
            last = len(field.values) - 1
            if field.kind == "range":
                genes[column] = trial.suggest_int(field.name, 0, last)
            elif field.kind == "categorical":
                genes[column] = trial.suggest_categorical(field.name, range(last + 1))
        row = find(genes)
        study.tell(trial, labels[row])
        repeats = repeats + 1 if row in order else 0
        if not repeats:
            order.append(row)
    return Trained(np.array(order), labels[order])


def _finder(dataset: TabularDataset) -> Callable[[NDArray[np.int16]], int]:
    """Return a function from genes (F,) of a grid, canonical or not, to their row."""
    keys = dataset.space.keys(dataset.genes)
    by_key = np.argsort(keys)
    ordered = keys[by_key]
    return lambda genes: int(by_key[np.searchsorted(ordered, dataset.space.keys(genes[None]))[0]])


SEARCHES: dict[str, Search] = {
    "narsfast": narsfast_search,
    "no_pretraining": partial(narsfast_search, make=no_pretraining),
    "larger_batches": larger_batches,
    "one_shot": one_shot,
    "spearman": with_spearman,
    "no_early_stop": without_early_stop,
    "architecture_only": partial(only, "architecture"),
    "recipe_only": partial(only, "recipe"),
    "random_search": random_search,
    "forest_search": forest_search,
    "evolution": evolution,
    "tpe": tpe,
}
RIVALS = ("random_search", "forest_search", "evolution", "tpe")
NOT_NESTED = ("one_shot",)
"""Searches whose first k trainings depend on how many follow."""


def version(name: str) -> str:
    """Return a digest of the sources that a search's outcome comes from."""
    here = Path(__file__)
    sources = [here, here.with_name("predictors.py")]
    if name not in RIVALS:
        sources += sorted(Path(narsfast.predictor.__file__).parent.glob("*.py"))
        sources += sorted(Path(narsfast.search.__file__).parent.glob("*.py"))
    return digest(sources)
