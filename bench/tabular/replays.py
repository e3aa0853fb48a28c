"""Policies of search, replayed on a table of real trainings (`photo_table.py`).

A trial is a row of the table, and what a policy sees of it is its accuracy and cross-entropy on some of the held-out
photos, drawn anew for each replay: its validation split. What its network is worth is its accuracy on the other
held-out photos. A policy trains so many rows, names a few finalists for each budget, and takes the one of the best
standing on the validation split, as a race does. Its regret for a budget is what the best row inside the budget is
worth, less what its own is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bench.tabular.dataset import TabularDataset
from bench.tabular.photo_table import PhotoTable
from bench.tabular.predictors import pretrained
from narsfast.common.label_noise import LabelNoise
from narsfast.common.seeds import derive_seed
from narsfast.common.trial import EpochMetrics, Trial
from narsfast.cost import Budget, Counter
from narsfast.pipeline._anchors import anchors
from narsfast.pipeline._finalists import best_anchor, choose_finalists
from narsfast.predictor import Noise, Predictor, Process, Surrogate
from narsfast.search import PickedBatch, Pool, band_of, labels_of, optimize
from narsfast.space import Candidate, Genes, Space

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]

FINALISTS = 4
BATCH = 8
CHANCE = 10.0


@dataclass(frozen=True, eq=False)
class Replay:
    """One table with one draw of the validation split.

    Attributes:
        dataset: Its candidates.
        curves: (n, E) accuracy in percent on the validation split after each epoch.
        entropies: (n, E) cross-entropy in nats on the validation split after each epoch.
        worth: (n,) accuracy in percent on the other held-out photos.
        budgets: Of the search.
        images: Of the validation split.
        seed: Of everything else.
    """

    dataset: TabularDataset
    curves: Floats
    entropies: Floats
    worth: Floats
    budgets: tuple[Budget, ...]
    images: int
    seed: int

    def inside(self, budget: Budget) -> Rows:
        """Return the rows that keep a budget."""
        return np.flatnonzero(budget.within(self.dataset.statistics, self.dataset.counter.names))

    @cached_property
    def bands(self) -> list[Rows]:
        """The rows of each budget's band."""
        return [self.inside(band_of(budget)) for budget in self.budgets]

    @property
    def epochs(self) -> int:
        """Of a whole training."""
        return self.curves.shape[1]

    @property
    def accuracy(self) -> Floats:
        """At the end of the trainings, percent (n,)."""
        return self.curves[:, -1]

    def trials(self, rows: Rows, epochs: int) -> list[Trial]:
        """Return the trials of rows that were trained so long."""
        names = self.dataset.space.ids(self.dataset.genes[rows])
        return [
            Trial(
                name,
                tuple(curve),
                "ok",
                epochs,
                0.0,
                metrics=EpochMetrics(cross_entropy=tuple(losses)),
            )
            for name, curve, losses in zip(
                names,
                self.curves[rows, :epochs].tolist(),
                self.entropies[rows, :epochs].tolist(),
                strict=True,
            )
        ]

    def labels(self, rows: Rows, epochs: int | None = None) -> Floats:
        """Return what a search knows of rows that it trained, to the end or so long, percent (k,)."""
        epochs = epochs or self.epochs
        return labels_of(self.trials(rows, epochs), epochs, CHANCE, LabelNoise(self.images))

    def regret(self, finalists: Sequence[Rows]) -> list[float]:
        """Return the regret of each budget, whose finalists are these."""
        found = []
        for budget, rows in zip(self.budgets, finalists, strict=True):
            best = float(self.worth[self.inside(budget)].max())
            found.append(best - float(self.worth[rows[np.argmax(self.labels(rows))]]) if len(rows) else best)
        return found


Policy = Callable[[Replay, int], list[Rows]]
"""A replay and a number of trials: the finalists of each budget, the most promising first."""


def dataset_of(name: str, table: PhotoTable, space: Space, counter: Counter) -> TabularDataset:
    """Return the candidates of a table, each by its first training; its labels are those on all held-out photos."""
    rows = np.flatnonzero(table.repeat == 0)
    known = [table.candidates[number] for number in table.number[rows]]
    genes = space.encode([Candidate(one["architecture"], one["recipe"]) for one in known])
    worth = table.accuracy()[rows]
    return TabularDataset(name, space, genes, counter, counter(genes), worth[:, -1:], worth)


def drawn(
    table: PhotoTable, dataset: TabularDataset, budgets: Sequence[Budget], images: int, seed: int
) -> Replay:
    """Draw a validation split."""
    photos = np.random.default_rng(derive_seed(seed, "photos")).permutation(table.held_out.shape[1])
    rows = np.flatnonzero(table.repeat == 0)
    curves, worth = table.accuracy(photos[:images])[rows], table.accuracy(photos[images:])[rows, -1]
    entropies = table.cross_entropy(photos[:images])[rows]
    return Replay(dataset, curves, entropies, worth, tuple(budgets), images, seed)


def _best(replay: Replay, rows: Rows, budget: Budget, count: int = FINALISTS) -> Rows:
    """Return the rows of the best labels inside a budget."""
    mine = np.intersect1d(rows, replay.inside(budget))
    return mine[np.argsort(-replay.labels(mine), kind="stable")[:count]]


def random_rows(replay: Replay, count: int) -> Rows:
    """Return random rows of the budgets' bands, as many of each."""
    random = np.random.default_rng(derive_seed(replay.seed, "random"))
    picked: list[int] = []
    shares = np.diff(np.linspace(0, count, len(replay.budgets) + 1).round().astype(int))
    for band, share in zip(replay.bands, shares, strict=True):
        free = np.setdiff1d(band, picked)
        picked += random.permutation(free)[:share].tolist()
    return np.array(picked)


def random_search(replay: Replay, trials: int) -> list[Rows]:
    """Train random rows; the best ones of each budget race."""
    picked = random_rows(replay, trials)
    return [_best(replay, picked, budget) for budget in replay.budgets]


def one_epoch(replay: Replay, trials: int) -> list[Rows]:
    """Train random rows for one epoch, and the best ones of each budget to the end, for as many epochs as all trials."""
    going_on = FINALISTS * len(replay.budgets)
    begun = trials * replay.epochs - going_on * (replay.epochs - 1)
    picked = random_rows(replay, max(going_on, begun))
    return [
        mine[np.argsort(-replay.labels(mine, 1), kind="stable")[:FINALISTS]]
        for mine in (np.intersect1d(picked, replay.inside(budget)) for budget in replay.budgets)
    ]


def tpe(replay: Replay, trials: int) -> list[Rows]:
    """Run Optuna's TPE with its defaults in each budget's band; what it asks for is the nearest row there."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    dataset, picked = replay.dataset, list[int]()
    features = dataset.space.features(dataset.genes)
    shares = np.diff(np.linspace(0, trials, len(replay.budgets) + 1).round().astype(int))
    for number, (band, share) in enumerate(zip(replay.bands, shares, strict=True)):
        sampler = optuna.samplers.TPESampler(seed=derive_seed(replay.seed, "tpe", number) % 2**32)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for _ in range(share):
            free = np.setdiff1d(band, picked)
            if not len(free):
                break
            asked, genes = study.ask(), np.zeros(len(dataset.space.fields), np.int16)
            for column, field in enumerate(dataset.space.fields):
                last = len(field.values) - 1
                if field.kind == "range":
                    genes[column] = asked.suggest_int(field.name, 0, last)
                elif field.kind == "categorical":
                    genes[column] = asked.suggest_categorical(field.name, range(last + 1))
            wanted = dataset.space.features(dataset.space.canonical(genes[None]))
            row = int(free[np.argmin(np.square(features[free] - wanted).sum(axis=1))])
            study.tell(asked, replay.accuracy[row])
            picked.append(row)
    return [_best(replay, np.array(picked), budget) for budget in replay.budgets]


@dataclass(frozen=True, eq=False)
class Searched:
    """What Algorithm 1 found in the table.

    Attributes:
        predictor: Fitted to all trials.
        rows: (k,) that were trained.
        labels: Of these, percent (k,).
    """

    predictor: Predictor | Surrogate
    rows: Rows
    labels: Floats


def _optimized(
    replay: Replay, pool: Pool, rows: Rows, trials: int, *, steered: bool, halving: bool = False
) -> Searched:
    """Run Algorithm 1 on rows of the table, with batches of whole trainings or halved ones."""

    def evaluate(picked: PickedBatch) -> list[Trial]:
        return replay.trials(rows[picked.indices], picked.epochs)

    batch = min(BATCH, trials)
    noise = LabelNoise(replay.images) if steered else None
    process = Process.of(replay.dataset.counter, pool.genes, Noise(replay.images)) if steered else None
    outcome = optimize(
        pool,
        pretrained(replay.dataset, replay.seed % 4),
        evaluate,
        batch=batch,
        iterations=trials // batch,
        epochs=replay.epochs,
        chance=CHANCE,
        seed=derive_seed(replay.seed, "optimise"),
        halving=halving,
        steered=steered,
        noise=noise,
        process=process,
    )
    trained = rows[np.concatenate([picked.indices for picked in outcome.batches])]
    labels = dict(
        zip(
            [trial.candidate for trial in outcome.trials],
            labels_of(outcome.trials, outcome.early_stop_epoch, CHANCE, noise).tolist(),
            strict=True,
        )
    )
    genes = replay.dataset.genes[trained]
    found = np.array([labels[name] for name in replay.dataset.space.ids(genes)])
    if process is None:
        return Searched(outcome.predictor, trained, found)
    return Searched(Surrogate(process, outcome.predictor).fit(genes, found, replay.seed), trained, found)


def earlier(replay: Replay, trials: int) -> list[Rows]:
    """Search as version 0.2 did: budgets steer nothing, and the best predicted row and the best trial are compared."""
    dataset = replay.dataset
    everything = np.arange(len(dataset))
    searched = _optimized(replay, Pool(dataset.genes, dataset.statistics), everything, trials, steered=False)
    found = []
    for budget in replay.budgets:
        rows = replay.inside(budget)
        best = rows[np.argmax(searched.predictor.scores(dataset.genes[rows]))]
        found.append(np.unique([best, *_best(replay, searched.rows, budget, 1)]))
    return found


def ours(replay: Replay, trials: int) -> list[Rows]:
    """Search as `narsfast run` does: in the budgets' bands, anchors first, with a race."""
    return _steered(replay, trials, halving=False)


def halved(replay: Replay, trials: int) -> list[Rows]:
    """Search as `narsfast run --halving` does, for as many epochs as all trials."""
    return _steered(replay, trials, halving=True)


def _steered(replay: Replay, trials: int, *, halving: bool) -> list[Rows]:
    dataset, counter = replay.dataset, replay.dataset.counter
    known, band = anchors(counter, replay.budgets)
    keys = dataset.space.keys(dataset.genes)
    there = np.isin(dataset.space.keys(known), keys)
    known, band = known[there], band[there]
    rows, bands = list[int](), list[int]()
    for key, number in zip(dataset.space.keys(known).tolist(), band.tolist(), strict=True):
        rows.append(int(np.flatnonzero(keys == key)[0]))
        bands.append(number)
    for number, own in enumerate(replay.bands):
        new = np.setdiff1d(own, rows)
        rows += new.tolist()
        bands += [number] * len(new)
    order = np.array(rows)
    pool = Pool(dataset.genes[order], dataset.statistics[order], np.array(bands), len(known))
    searched = _optimized(replay, pool, order, trials, steered=True, halving=halving)
    return [_raced(replay, budget, searched, known) for budget in replay.budgets]


def _raced(replay: Replay, budget: Budget, searched: Searched, known: Genes) -> Rows:
    """Return who races for a budget, `FINALISTS` in all."""
    dataset, names = replay.dataset, replay.dataset.counter.names
    predictor, inside = searched.predictor, replay.inside(budget)
    others, within = np.setdiff1d(inside, searched.rows), np.isin(searched.rows, inside)
    mine, labels = searched.rows[within], searched.labels[within]
    means, deviations = predictor.predict(dataset.genes[others])
    known = known[budget.within(dataset.counter(known), names)] if len(known) else known
    anchor = best_anchor(dataset.space, known, dataset.genes[mine], labels)
    chosen = choose_finalists(
        predictor,
        dataset.genes[mine],
        labels,
        replay.images,
        dataset.genes[others],
        means - deviations,
        anchor,
        FINALISTS - len(anchor),
    )
    keys = dataset.space.keys(np.array([row for _, row in chosen], np.int16))
    return np.flatnonzero(np.isin(dataset.space.keys(dataset.genes), keys))


POLICIES: dict[str, Policy] = {
    "ours": ours,
    "halved": halved,
    "random": random_search,
    "one_epoch": one_epoch,
    "tpe": tpe,
    "earlier": earlier,
}


def regrets(replay: Replay, policy: str, trials: int) -> float:
    """Return the mean regret over the budgets, in points."""
    found = replay.regret(POLICIES[policy](replay, trials))
    return math.fsum(found) / len(found)
