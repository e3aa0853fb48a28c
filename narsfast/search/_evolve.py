"""Algorithm 2: evolution of the best candidates of each budget under the predictor.

An adaptive genetic algorithm that starts from the best trained and from random candidates. An evolutionary search on
one predictor for all budgets is FBNetV3's idea; the steps, probabilities and sizes are this project's choice.

In each generation, every individual of the population has children. A field is taken from a random mate with a
probability that falls from `crossover` (for individuals at or below the average score) to 0 (for the best), the adaptive
form of Srinivas and Patnaik. Then a field mutates with the probability ``mutation * (1 + 2 a) / (searched fields)``,
where `a` falls from 1 to 0 in the same way. A range field moves by at most half its range, shrinking to 1 with the
generations; a categorical field takes any of its other values. In a child outside the budget, architecture fields are
reset to those of its parent, one at a time in random order, until it is inside. New children are scored in one batch,
and the best of parents and children form the next generation.

Every random number is keyed by (seed, generation, parent, child, field), so that results depend neither on the number of
threads nor on the other budgets.
"""

from __future__ import annotations

import math
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
from ._start import Start, budget_columns
from ._table import TableCounter


@dataclass(frozen=True)
class Evolved:
    """The result of evolution for one budget.

    Attributes:
        budget: The budget, which every candidate satisfies.
        genes: (K, F) int16, canonical and distinct, best first (equal scores by key); a front is sorted by its first
            statistic.
        scores: (K,) float64, percent: what was maximized, a predicted accuracy less `caution` standard deviations.
        std: (K,) float64, percent, the standard deviation by the predictor; 0 with a scoring function.
        statistics: (K, S) float64, the columns of the counter.
        history: (generations + 1,) float64, the best score at the start and after each generation; for a front the
            number of its new candidates.
        num_offspring: Number of children.
        num_evaluated: Number of children that were new and inside the budget, and therefore scored.
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
        """Number of generations."""
        return len(self.history) - 1


class Engine(Protocol):
    """The implementation of evolution: native code, or its numpy reference in the tests."""

    def scorer(self, source: Scoring | Score, counter: Statistics, caution: float) -> Scorer:
        """Return the scorer of candidates."""

    def run(
        self,
        counter: Statistics,
        scorer: Scorer,
        bounds: list[Bounds],
        starts: list[Genes],
        settings: Settings,
    ) -> list[dict[str, Any]]:
        """Evolve one population per budget and return the fields of each `Evolved` except its budget."""


class _NativeEngine:
    def scorer(self, source: Scoring | Score, counter: Statistics, caution: float) -> Scorer:
        return NativeScorer(source, counter, caution)

    def run(
        self,
        counter: Statistics,
        scorer: Scorer,
        bounds: list[Bounds],
        starts: list[Genes],
        settings: Settings,
    ) -> list[dict[str, Any]]:
        options = asdict(settings)
        options["children"] = options.pop("children_per_parent")
        return _native.evolve(
            counter.space.tables(),
            _sources(counter),
            len(counter.names),
            scorer.native,
            scorer.columns,
            scorer.caution,
            bounds,
            starts,
            **options,
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
    children_per_parent: int = 6,
    generations: int = 100,
    epsilon: float = 1e-6,
    patience: int = 10,
    crossover: float = 0.5,
    mutation: float = 1.0,
    caution: float = 0.0,
    engine: Engine = _NATIVE,
) -> list[Evolved]:
    """Evolve the best candidates of each budget.

    Evolution starts from the trained candidates with the best predicted scores, random candidates of the pool, and the
    best candidate of the pool, all inside the budget; the result is therefore never worse than the pool's best. It ends
    when the best score gained at most `epsilon` over `patience` generations, or after `generations`. All defaults are
    this project's choice.

    Args:
        predictor: A predictor, or a function from canonical genes (n, F) to scores (n,).
        counter: Counter of the statistics of candidates.
        budgets: The budgets.
        pool: Candidates to start from, with their statistics.
        trained: (m, F) int16, trained candidates, possibly none.
        seed: Seed of the random numbers, 0 to 2**64 - 1.
        num_parents: Largest number of trained candidates to start from (p).
        num_random: Largest number of random candidates to start from (q).
        population_size: Size of the population (K).
        children_per_parent: Children of each parent.
        generations: Largest number of generations.
        epsilon: Evolution ends if the gain is not above this, in percent.
        patience: Number of generations over which the gain is measured.
        crossover: Highest probability that a field is the mate's; 0 switches crossover off.
        mutation: Factor on the probability of mutation; 0 switches mutation off.
        caution: How many of its standard deviations are taken off a predicted accuracy; with more of it, candidates
            that are like trained ones are preferred. A function states no deviation.
        engine: Implementation of evolution; the tests also run a numpy reference.

    Returns:
        One result per budget, in order.

    Raises:
        UserError: No candidate to start from is inside a budget, or an argument is out of range.
    """
    settings = Settings(
        seed, population_size, children_per_parent, generations, epsilon, patience, crossover, mutation
    )
    return _evolve(
        predictor, counter, budgets, pool, trained, settings, num_parents, num_random, caution, engine
    )


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
    children_per_parent: int = 3,
    generations: int = 100,
    patience: int = 10,
    caution: float = 0.0,
    engine: Engine = _NATIVE,
) -> Evolved:
    """Evolve the Pareto front of score against one or two statistics inside a budget.

    Evolution is that of `evolve`, with nondominated sorting: the next generation consists of the front (candidates such
    that no other has as good a score and no larger statistics), then of the front of the remaining candidates, and so
    on. Finally all changes of a single field of the front's candidates are tried until none improves the front, unless
    the front is larger than `population_size`. All defaults are this project's choice.

    Args:
        predictor: As for `evolve`.
        counter: As for `evolve`.
        objectives: Names of the statistics to minimize.
        budget: Bounds of all candidates, on any statistics.
        pool: As for `evolve`.
        trained: As for `evolve`.
        seed: As for `evolve`.
        population_size: Largest size of the front; a larger front is thinned evenly.
        children_per_parent: Children of each parent.
        generations: Largest number of generations, and of rounds of final changes.
        patience: Evolution ends after this number of generations without a new candidate in the front.
        caution: As for `evolve`.
        engine: As for `evolve`.

    Returns:
        The front, sorted by its first statistic.

    Raises:
        UserError: No candidate to start from is inside the budget, or an argument is out of range.
    """
    if not objectives or len(set(objectives)) < len(objectives):
        raise UserError(f"statistics of the front are {list(objectives)}; name one or two different ones")
    columns = tuple(
        column
        for column, _, _ in budget_columns(Budget(dict.fromkeys(objectives, (0.0, 1.0))), counter.names)
    )
    settings = Settings(
        seed, population_size, children_per_parent, generations, 0.0, patience, 0.5, 1.0, columns
    )
    return _evolve(
        predictor,
        counter,
        [budget],
        pool,
        trained,
        settings,
        population_size,
        population_size,
        caution,
        engine,
    )[0]


def _evolve(
    predictor: Scoring | Score,
    counter: Statistics,
    budgets: Sequence[Budget],
    pool: Pool,
    trained: Genes,
    settings: Settings,
    num_parents: int,
    num_random: int,
    caution: float,
    engine: Engine,
) -> list[Evolved]:
    for name in ("population_size", "children_per_parent", "patience"):
        if getattr(settings, name) < 1:
            raise UserError(f"{name} is {getattr(settings, name)}; it should be at least 1")
    if not 0 <= caution < math.inf:
        raise UserError(f"caution is {caution}; it should be 0 or more")
    scorer = engine.scorer(predictor, counter, caution)
    bounds = [budget_columns(budget, counter.names) for budget in budgets]
    start = Start(counter, scorer, pool, trained, bounds)
    starts = [
        start.select(budget, columns, settings.seed, num_parents, num_random)
        for budget, columns in zip(budgets, bounds, strict=True)
    ]
    results = engine.run(counter, scorer, bounds, starts, settings)
    return [Evolved(budget, **result) for budget, result in zip(budgets, results, strict=True)]


def _sources(counter: Statistics) -> list[Any]:
    """Return the native sources of the statistics, whose columns are concatenated."""
    if not counter.names:
        return []
    if isinstance(counter, ExtendedCounter):
        return [*_sources(counter.counter), counter.extra]
    if isinstance(counter, Counter) and counter.space.has_networks:
        return [counter.native]
    return [counter.table if isinstance(counter, TableCounter) else counter]
