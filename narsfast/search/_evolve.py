"""Algorithm 2: the best candidates of each budget, evolved under the predictor.

An adaptive genetic algorithm that starts from the best trained and from random candidates. An
evolutionary search on the predictor, one predictor for every budget, is FBNetV3's idea; its steps, chances and sizes
are this project's choice.

A generation: every member gets children. A field is taken from a random mate with a chance that falls from
`crossover` (members at or below the average score) to 0 (the best), the adaptive form of Srinivas and
Patnaik. Then a field mutates with the chance ``mutation * (1 + 2 a) / (searched fields)``, where `a` falls
from 1 to 0 likewise. A range field steps by at most half its range, shrinking to 1 with the generations; a
categorical one takes any of its other values. A child outside the budget gets its parent's architecture
fields back, one at a time in random order, until it is inside. New children are scored in one batch, and
the best of all go on.

Every random number is keyed by (seed, generation, parent, child, field): results depend neither on threads
nor on which other budgets are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from narsfast import _native
from narsfast.cost import Budget, Counter, format_number
from narsfast.errors import UserError
from narsfast.predictor import PredictorWeights, Statistics
from narsfast.space import Genes

from ._extended import ExtendedCounter
from ._pool import Pool
from ._reference import (
    PURPOSE,
    Floats,
    ReferenceEvolution,
    Settings,
    philox,
    predict_reference,
    within,
)
from ._table import TableCounter

_SLICE = 1 << 15  # candidates of the pool that are worked on at once, to need little memory

Bounds = list[tuple[int, float, float]]
Score = Callable[[Genes], Floats]
"""Canonical genes (n, F) int16 to scores (n,), higher is better."""


@runtime_checkable
class Scoring(Protocol):
    """What evolution needs of a predictor."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the statistics that it reads, in order."""
        ...

    def weights(self) -> PredictorWeights:
        """Its weights."""
        ...


@dataclass(frozen=True)
class Evolved:
    """What evolution found for one budget.

    Attributes:
        budget: The bounds that every candidate keeps.
        genes: (K, F) int16, canonical, no doubles, best first (equal scores by key); a front's by its first statistic.
        scores: (K,) float64, percent.
        std: (K,) float64, percent, the predictor's stated deviation; 0 with a scoring function.
        statistics: (K, S) float64, the counter's columns.
        history: (generations + 1,) float64, at the start and after each generation: the best score; of a front how many
            members were new.
        bred: Number of children made.
        scored: Number of those that were new and inside the budget.
    """

    budget: Budget
    genes: Genes
    scores: Floats
    std: Floats
    statistics: Floats
    history: Floats
    bred: int
    scored: int

    @property
    def generations(self) -> int:
        """Generations that were run."""
        return len(self.history) - 1


class _Scorer:
    """Scores from a predictor or a function, natively or by the twin."""

    def __init__(self, source: Scoring | Score, counter: Statistics, native: bool) -> None:
        self.columns: list[int] = []
        self._space = counter.space
        self._function: Score | None = None
        self._weights: PredictorWeights | None = None
        self.native: Any = None
        if not isinstance(source, Scoring):
            self._function = self.native = source
            return
        missing = [name for name in source.names if name not in counter.names]
        if missing:
            raise UserError(
                f"statistic {missing[0]!r} of the predictor is not counted; counted: {counter.names}"
            )
        self.columns = [counter.names.index(name) for name in source.names]
        self._weights = source.weights()
        if native:
            self.native = _native.Predictor(self._space.tables(), self._weights)

    def both(self, genes: Genes, statistics: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation, (n,) each."""
        if self._weights is None:
            assert self._function is not None
            return np.asarray(self._function(genes), np.float64), np.zeros(len(genes))
        picked = np.ascontiguousarray(statistics[:, self.columns], np.float64)
        if self.native is not None:
            mean, std = self.native.score(genes, picked)
            return mean, std
        return predict_reference(self._space, self._weights, genes, picked)

    def scores(self, genes: Genes, statistics: Floats) -> Floats:
        """Means (n,)."""
        return self.both(genes, statistics)[0]


def evolve(
    predictor: Scoring | Score,
    counter: Statistics,
    budgets: Sequence[Budget],
    pool: Pool,
    trained: Genes,
    seed: int,
    *,
    parents: int = 40,
    randoms: int = 40,
    keep: int = 80,
    children: int = 6,
    generations: int = 100,
    epsilon: float = 1e-6,
    patience: int = 10,
    crossover: float = 0.5,
    mutation: float = 1.0,
    engine: Literal["native", "reference"] = "native",
) -> list[Evolved]:
    """Evolve the best candidates of each budget.

    The start is the best trained candidates inside the budget by predicted score, random members of the pool
    inside it, and the pool's best inside it: the result is never below the pool's best. It ends when the best
    score gained at most `epsilon` over `patience` generations, or after `generations`.

    Args:
        predictor: A predictor, or a function of canonical genes (n, F) to scores (n,).
        counter: Statistics of the space's candidates.
        budgets: The budgets.
        pool: Candidates to start from, with their statistics.
        trained: (m, F) int16, candidates already trained, possibly none.
        seed: Of the random numbers, 0 to 2**64 - 1.
        parents: Most trained candidates to start from (p; our default).
        randoms: Most random candidates to start from (q; our default).
        keep: Size of the population (K; our default).
        children: Children of each member (our default).
        generations: Most generations (our default).
        epsilon: Least gain that goes on, percent (our default).
        patience: Generations over which the gain is measured (our default).
        crossover: Highest chance a field is the mate's (our default); 0 switches crossover off.
        mutation: Factor on the chance of mutation (our default); 0 switches mutation off.
        engine: "native", or "reference" for the numpy twin: the same genes for the same scores, slowly.

    Returns:
        One result a budget, in order.

    Raises:
        UserError: Nothing to start from is inside a budget, or an argument is out of its range.
    """
    settings = Settings(seed, keep, children, generations, epsilon, patience, crossover, mutation)
    return _evolved(predictor, counter, budgets, pool, trained, settings, parents, randoms, engine)


def pareto(
    predictor: Scoring | Score,
    counter: Statistics,
    objectives: Sequence[str],
    budget: Budget,
    pool: Pool,
    trained: Genes,
    seed: int,
    *,
    keep: int = 400,
    children: int = 3,
    generations: int = 100,
    patience: int = 10,
    engine: Literal["native", "reference"] = "native",
) -> Evolved:
    """The whole front of score against one or two statistics inside a budget.

    The same evolution, but that every member of the front counts as the best: the population is the candidates that
    no other one dominates (as good a score, statistics no larger), filled up by those that only such dominate, and so
    on. In the end all changes of one field of the front's members are tried until they add nothing, unless the front
    is larger than `keep`.

    Args:
        predictor: As for `evolve`.
        counter: As for `evolve`.
        objectives: Names of the statistics to be small.
        budget: Bounds of every member, on any statistics.
        pool: As for `evolve`.
        trained: As for `evolve`.
        seed: As for `evolve`.
        keep: Most members of the front (our default); of a larger one members at even distances are kept.
        children: Children of each member (our default).
        generations: Most generations, and most rounds of the end (our default).
        patience: Generations without a new member that end it (our default).
        engine: As for `evolve`.

    Returns:
        The front by its first statistic, smallest first; `history` holds how many members were new.

    Raises:
        UserError: Nothing to start from is inside the budget, or an argument is out of its range.
    """
    if not objectives or len(set(objectives)) < len(objectives):
        raise UserError(f"statistics of the front are {list(objectives)}; name one or two different ones")
    columns = tuple(
        column for column, _, _ in _columns(Budget(dict.fromkeys(objectives, (0.0, 1.0))), counter.names)
    )
    settings = Settings(seed, keep, children, generations, 0.0, patience, 0.5, 1.0, columns)
    return _evolved(predictor, counter, [budget], pool, trained, settings, keep, keep, engine)[0]


def _evolved(
    predictor: Scoring | Score,
    counter: Statistics,
    budgets: Sequence[Budget],
    pool: Pool,
    trained: Genes,
    settings: Settings,
    parents: int,
    randoms: int,
    engine: str,
) -> list[Evolved]:
    for name in ("keep", "children", "patience"):
        if getattr(settings, name) < 1:
            raise UserError(f"{name} is {getattr(settings, name)}; it should be at least 1")
    scorer = _Scorer(predictor, counter, engine == "native")
    bounds = [_columns(budget, counter.names) for budget in budgets]
    candidates = _Candidates(counter, scorer, pool, trained, bounds)
    starts = [
        candidates.start(budget, columns, settings.seed, parents, randoms)
        for budget, columns in zip(budgets, bounds, strict=True)
    ]
    run = _run_native if engine == "native" else _run_reference
    results = run(counter, scorer, bounds, starts, settings)
    return [Evolved(budget, **result) for budget, result in zip(budgets, results, strict=True)]


class _Candidates:
    """The pool and the trained candidates, scored once for all budgets: those that are inside one of them."""

    def __init__(
        self, counter: Statistics, scorer: _Scorer, pool: Pool, trained: Genes, bounds: Sequence[Bounds]
    ) -> None:
        self._space = counter.space
        self._names = counter.names
        self._pool_genes = np.ascontiguousarray(pool.genes, np.int16)
        self._pool = np.asarray(pool.statistics)
        self._trained_genes = np.ascontiguousarray(trained, np.int16).reshape(-1, len(counter.space.fields))
        self._trained = _counted(counter, self._trained_genes)
        self._pool_scores = _scores(scorer, self._pool_genes, self._pool, bounds)
        self._trained_scores = _scores(scorer, self._trained_genes, self._trained, bounds)
        self._trained_keys = counter.space.keys(self._trained_genes)

    def start(self, budget: Budget, bounds: Bounds, seed: int, parents: int, randoms: int) -> Genes:
        """The candidates that a budget starts from, (n, F).

        Raises:
            UserError: None is inside.
        """
        trained = np.flatnonzero(within(self._trained, bounds))
        order = np.lexsort((self._trained_keys[trained], -self._trained_scores[trained]))
        best_trained = trained[order[:parents]]
        pool = np.flatnonzero(within(self._pool, bounds))
        if not len(pool) and not len(trained):
            raise UserError(self._nothing_inside(budget, bounds))
        chosen = pool[np.argsort(_draws(seed, pool), kind="stable")[:randoms]]
        scores = self._pool_scores[pool]
        best = pool[scores == scores.max(initial=-np.inf)]
        best = best[np.argsort(self._space.keys(self._pool_genes[best]))[:1]]
        return np.concatenate(
            [self._trained_genes[best_trained], self._pool_genes[chosen], self._pool_genes[best]]
        )

    def _nothing_inside(self, budget: Budget, bounds: Bounds) -> str:
        spans = []
        for column, low, _ in bounds:
            values = self._pool[:, column]
            if not len(values):
                return f"budget {budget.label()}: the pool is empty; sample one inside the budget"
            smallest, largest = format_number(float(values.min())), format_number(float(values.max()))
            span = f"the smallest {self._names[column]} in the pool is {smallest}"
            spans.append(f"{span}, the largest {largest}" if low > 0 else span)
        return (
            f"budget {budget.label()} has no candidate to start from: {'; '.join(spans)}; loosen the budget"
        )


def _columns(budget: Budget, names: tuple[str, ...]) -> Bounds:
    for name in budget.bounds:
        if name not in names:
            listed = ", ".join(names) or "none"
            raise UserError(f"budget {budget.label()}: {name} is not counted; counted are {listed}")
    return [(names.index(name), low, high) for name, (low, high) in budget.bounds.items()]


def _counted(counter: Statistics, genes: Genes) -> Floats:
    return np.asarray(counter(genes), np.float64).reshape(len(genes), len(counter.names))


def _slices(count: int) -> Iterator[slice]:
    return (slice(first, first + _SLICE) for first in range(0, count, _SLICE))


def _scores(scorer: _Scorer, genes: Genes, statistics: NDArray[Any], bounds: Sequence[Bounds]) -> Floats:
    """Scores (n,) of the candidates that are inside one of the bounds, minus infinity elsewhere."""
    scores = np.full(len(genes), -np.inf)
    for part in _slices(len(genes)):
        inside = np.any([within(statistics[part], bound) for bound in bounds], axis=0)
        rows = part.start + np.flatnonzero(inside)
        scores[rows] = scorer.scores(genes[rows], np.asarray(statistics[rows], np.float64))
    return scores


def _draws(seed: int, rows: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Random words (n,) of rows of the pool; generation 0 draws for the start."""
    draws = np.empty(len(rows), np.uint32)
    for part in _slices(len(rows)):
        counters = np.zeros((len(rows[part]), 4), np.uint32)
        counters[:, 0] = rows[part]
        draws[part] = philox(seed, PURPOSE, counters)[:, 0]
    return draws


def _run_native(
    counter: Statistics, scorer: _Scorer, bounds: list[Bounds], starts: list[Genes], settings: Settings
) -> list[dict[str, Any]]:
    tables = counter.space.tables()
    columns = len(counter.names)
    sources = _sources(counter)
    results: list[dict[str, Any]] = _native.evolve(
        tables, sources, columns, scorer.native, scorer.columns, bounds, starts, **asdict(settings)
    )
    return results


def _sources(counter: Statistics) -> list[Any]:
    """Where native code takes the statistics from, side by side; nowhere without any."""
    if not counter.names:
        return []
    if isinstance(counter, ExtendedCounter):
        return [*_sources(counter.counter), counter.further]
    if isinstance(counter, Counter) and counter.space.stages:
        return [counter.native]
    return [counter.table if isinstance(counter, TableCounter) else counter]


def _run_reference(
    counter: Statistics, scorer: _Scorer, bounds: list[Bounds], starts: list[Genes], settings: Settings
) -> list[dict[str, Any]]:
    engine = ReferenceEvolution(
        counter.space, lambda genes: _counted(counter, genes), scorer.scores, settings
    )
    results = []
    for start, budget in zip(starts, bounds, strict=True):
        population, history, bred, scored = engine.run(start, budget)
        results.append(
            {
                "genes": population.genes,
                "scores": population.scores,
                "std": scorer.both(population.genes, population.statistics)[1],
                "statistics": population.statistics,
                "history": np.array(history),
                "bred": bred,
                "scored": scored,
            }
        )
    return results
