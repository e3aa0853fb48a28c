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

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from narsfast import _native
from narsfast.cost import Budget, Counter
from narsfast.errors import UserError
from narsfast.predictor import Statistics
from narsfast.space import Genes

from ._extended import ExtendedCounter
from ._pool import Pool
from ._scorer import NativeScorer, Score, Scorer, Scoring
from ._settings import Bounds, Floats, Settings
from ._start import Start, columns_of
from ._table import TableCounter


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
        num_offspring: Number of children made.
        num_evaluated: Number of those that were new and inside the budget.
    """

    budget: Budget
    genes: Genes
    scores: Floats
    std: Floats
    statistics: Floats
    history: Floats
    num_offspring: int
    num_evaluated: int

    @property
    def generations(self) -> int:
        """Generations that were run."""
        return len(self.history) - 1


class Engine(Protocol):
    """Who computes the generations: compiled code, or its numpy twin in the tests."""

    def scorer(self, source: Scoring | Score, counter: Statistics) -> Scorer:
        """Return what scores the candidates."""

    def run(
        self,
        counter: Statistics,
        scorer: Scorer,
        bounds: list[Bounds],
        starts: list[Genes],
        settings: Settings,
    ) -> list[dict[str, Any]]:
        """Return the fields of an `Evolved` but for its budget, one per budget."""


class _NativeEngine:
    def scorer(self, source: Scoring | Score, counter: Statistics) -> Scorer:
        return NativeScorer(source, counter)

    def run(
        self,
        counter: Statistics,
        scorer: Scorer,
        bounds: list[Bounds],
        starts: list[Genes],
        settings: Settings,
    ) -> list[dict[str, Any]]:
        return _native.evolve(
            counter.space.tables(),
            _sources(counter),
            len(counter.names),
            scorer.native,
            scorer.columns,
            bounds,
            starts,
            **asdict(settings),
        )


_NATIVE = _NativeEngine()


def evolve(
    predictor: Scoring | Score,
    counter: Statistics,
    budgets: Sequence[Budget],
    pool: Pool,
    trained: Genes,
    seed: int,
    *,
    num_parents: int = 40,
    num_random: int = 40,
    population_size: int = 80,
    children: int = 6,
    generations: int = 100,
    epsilon: float = 1e-6,
    patience: int = 10,
    crossover: float = 0.5,
    mutation: float = 1.0,
    engine: Engine = _NATIVE,
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
        num_parents: Most trained candidates to start from (p; our default).
        num_random: Most random candidates to start from (q; our default).
        population_size: Size of the population (K; our default).
        children: Children of each member (our default).
        generations: Most generations (our default).
        epsilon: Least gain that goes on, percent (our default).
        patience: Generations over which the gain is measured (our default).
        crossover: Highest chance a field is the mate's (our default); 0 switches crossover off.
        mutation: Factor on the chance of mutation (our default); 0 switches mutation off.
        engine: Who computes the generations; the tests give the numpy twin.

    Returns:
        One result a budget, in order.

    Raises:
        UserError: Nothing to start from is inside a budget, or an argument is out of its range.
    """
    settings = Settings(seed, population_size, children, generations, epsilon, patience, crossover, mutation)
    return _evolved(predictor, counter, budgets, pool, trained, settings, num_parents, num_random, engine)


def pareto(
    predictor: Scoring | Score,
    counter: Statistics,
    objectives: Sequence[str],
    budget: Budget,
    pool: Pool,
    trained: Genes,
    seed: int,
    *,
    population_size: int = 400,
    children: int = 3,
    generations: int = 100,
    patience: int = 10,
    engine: Engine = _NATIVE,
) -> Evolved:
    """The whole front of score against one or two statistics inside a budget.

    The same evolution, but that every member of the front counts as the best: the population is the candidates that
    no other one dominates (as good a score, statistics no larger), filled up by those that only such dominate, and so
    on. In the end all changes of one field of the front's members are tried until they add nothing, unless the front
    is larger than `population_size`.

    Args:
        predictor: As for `evolve`.
        counter: As for `evolve`.
        objectives: Names of the statistics to be small.
        budget: Bounds of every member, on any statistics.
        pool: As for `evolve`.
        trained: As for `evolve`.
        seed: As for `evolve`.
        population_size: Most members of the front (our default); of a larger one members at even distances are kept.
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
        column for column, _, _ in columns_of(Budget(dict.fromkeys(objectives, (0.0, 1.0))), counter.names)
    )
    settings = Settings(seed, population_size, children, generations, 0.0, patience, 0.5, 1.0, columns)
    return _evolved(
        predictor, counter, [budget], pool, trained, settings, population_size, population_size, engine
    )[0]


def _evolved(
    predictor: Scoring | Score,
    counter: Statistics,
    budgets: Sequence[Budget],
    pool: Pool,
    trained: Genes,
    settings: Settings,
    num_parents: int,
    num_random: int,
    engine: Engine,
) -> list[Evolved]:
    for name in ("population_size", "children", "patience"):
        if getattr(settings, name) < 1:
            raise UserError(f"{name} is {getattr(settings, name)}; it should be at least 1")
    scorer = engine.scorer(predictor, counter)
    bounds = [columns_of(budget, counter.names) for budget in budgets]
    start = Start(counter, scorer, pool, trained, bounds)
    starts = [
        start.of(budget, columns, settings.seed, num_parents, num_random)
        for budget, columns in zip(budgets, bounds, strict=True)
    ]
    results = engine.run(counter, scorer, bounds, starts, settings)
    return [Evolved(budget, **result) for budget, result in zip(budgets, results, strict=True)]


def _sources(counter: Statistics) -> list[Any]:
    """Where native code takes the statistics from, side by side; nowhere without any."""
    if not counter.names:
        return []
    if isinstance(counter, ExtendedCounter):
        return [*_sources(counter.counter), counter.further]
    if isinstance(counter, Counter) and counter.space.stages:
        return [counter.native]
    return [counter.table if isinstance(counter, TableCounter) else counter]
