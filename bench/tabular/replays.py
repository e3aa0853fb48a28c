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
        accuracy: (n,) in percent on the validation split.
        entropy: (n,) cross-entropy in nats on the validation split.
        worth: (n,) accuracy in percent on the other held-out photos.
        budgets: Of the search.
        images: Of the validation split.
        seed: Of everything else.
    """

    dataset: TabularDataset
    accuracy: Floats
    entropy: Floats
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

    def trials(self, rows: Rows) -> list[Trial]:
        """Return the trials of rows."""
        names = self.dataset.space.ids(self.dataset.genes[rows])
        return [
            Trial(name, (accuracy,), "ok", 1, 0.0, metrics=EpochMetrics(cross_entropy=(entropy,)))
            for name, accuracy, entropy in zip(
                names, self.accuracy[rows].tolist(), self.entropy[rows].tolist(), strict=True
            )
        ]

    def labels(self, rows: Rows) -> Floats:
        """Return what a search that trained these rows knows of them, percent (k,)."""
        return labels_of(self.trials(rows), 1, CHANCE, LabelNoise(self.images))

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
    accuracy, worth = (table.accuracy(part)[rows, -1] for part in (photos[:images], photos[images:]))
    entropy = table.cross_entropy(photos[:images])[rows, -1]
    return Replay(dataset, accuracy, entropy, worth, tuple(budgets), images, seed)


def _best(replay: Replay, rows: Rows, budget: Budget, count: int = FINALISTS) -> Rows:
    """Return the rows of the best labels inside a budget."""
    mine = np.intersect1d(rows, replay.inside(budget))
    return mine[np.argsort(-replay.labels(mine), kind="stable")[:count]]


def random_search(replay: Replay, trials: int) -> list[Rows]:
    """Train random rows of the budgets' bands, as many for each; the best ones of each budget race."""
    random = np.random.default_rng(derive_seed(replay.seed, "random"))
    picked: list[int] = []
    shares = np.diff(np.linspace(0, trials, len(replay.budgets) + 1).round().astype(int))
    for band, share in zip(replay.bands, shares, strict=True):
        free = np.setdiff1d(band, picked)
        picked += random.permutation(free)[:share].tolist()
    return [_best(replay, np.array(picked), budget) for budget in replay.budgets]


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


def _optimized(
    replay: Replay, pool: Pool, rows: Rows, trials: int, steered: bool
) -> tuple[Predictor | Surrogate, Rows]:
    """Run Algorithm 1 on rows of the table; return the predictor and the rows that it trained."""

    def evaluate(picked: PickedBatch) -> list[Trial]:
        return replay.trials(rows[picked.indices])

    batch = min(BATCH, trials)
    process = Process.of(replay.dataset.counter, pool.genes, Noise(replay.images)) if steered else None
    outcome = optimize(
        pool,
        pretrained(replay.dataset, replay.seed % 4),
        evaluate,
        batch=batch,
        iterations=trials // batch,
        epochs=1,
        chance=CHANCE,
        seed=derive_seed(replay.seed, "optimise"),
        steered=steered,
        noise=LabelNoise(replay.images) if steered else None,
        process=process,
    )
    trained = rows[np.concatenate([picked.indices for picked in outcome.batches])]
    if process is None:
        return outcome.predictor, trained
    judge = Surrogate(process, outcome.predictor)
    return judge.fit(replay.dataset.genes[trained], replay.labels(trained), replay.seed), trained


def earlier(replay: Replay, trials: int) -> list[Rows]:
    """Search as version 0.2 did: budgets steer nothing, and the best predicted row and the best trial are compared."""
    dataset = replay.dataset
    everything = np.arange(len(dataset))
    predictor, trained = _optimized(
        replay, Pool(dataset.genes, dataset.statistics), everything, trials, False
    )
    found = []
    for budget in replay.budgets:
        rows = replay.inside(budget)
        best = rows[np.argmax(predictor.scores(dataset.genes[rows]))]
        found.append(np.unique([best, *_best(replay, trained, budget, 1)]))
    return found


def ours(replay: Replay, trials: int) -> list[Rows]:
    """Search as `narsfast run` does: in the budgets' bands, anchors first, with a race."""
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
    predictor, trained = _optimized(replay, pool, order, trials, True)
    return [_raced(replay, budget, predictor, trained, known) for budget in replay.budgets]


def _raced(
    replay: Replay, budget: Budget, predictor: Predictor | Surrogate, trained: Rows, known: Genes
) -> Rows:
    """Return who races for a budget, `FINALISTS` in all."""
    dataset, names = replay.dataset, replay.dataset.counter.names
    inside = replay.inside(budget)
    mine, others = np.intersect1d(trained, inside), np.setdiff1d(inside, trained)
    means, deviations = predictor.predict(dataset.genes[others])
    known = known[budget.within(dataset.counter(known), names)] if len(known) else known
    labels = replay.labels(mine)
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


POLICIES: dict[str, Policy] = {"ours": ours, "random": random_search, "tpe": tpe, "earlier": earlier}


def regrets(replay: Replay, policy: str, trials: int) -> float:
    """Return the mean regret over the budgets, in points."""
    found = replay.regret(POLICIES[policy](replay, trials))
    return math.fsum(found) / len(found)
