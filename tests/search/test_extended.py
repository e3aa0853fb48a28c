"""Statistics that users define as functions, in budgets and fronts."""

import numpy as np
import pytest

from narsfast.cost import Budget, Counter
from narsfast.errors import UserError
from narsfast.search import ExtendedCounter, Pool, evolve, pareto
from narsfast.search._evolve import _NativeEngine
from narsfast.search._reference import ReferenceEngine
from narsfast.space import load_space

ENGINES = (_NativeEngine(), ReferenceEngine())


def score(genes):
    return genes.sum(axis=1).astype(np.float64)


def even(genes):
    return genes[:, ::2].sum(axis=1)


def make(**functions):
    counter = ExtendedCounter(Counter(load_space("tiny")), functions)
    genes = np.unique(counter.space.random(300, 1), axis=0)
    return counter, Pool(genes, counter(genes))


@pytest.mark.parametrize("engine", ENGINES, ids=["native", "reference"])
def test_budget_bounds_an_additional_statistic(engine):
    sizes = []

    def watched(genes):
        sizes.append(len(genes))
        return even(genes)

    counter, pool = make(even=watched)
    budget = Budget({"macs": (0.0, float(np.median(pool.statistics[:, 0]))), "even": (5.0, 12.0)})
    sizes.clear()
    free = evolve(score, counter, [Budget({"macs": budget.bounds["macs"]})], pool, pool.genes[:0], 0)[0]
    assert even(free.genes[:1])[0] > 12
    result = evolve(score, counter, [budget], pool, pool.genes[:0], 0, generations=10, engine=engine)[0]
    assert ((even(result.genes) >= 5) & (even(result.genes) <= 12)).all()
    assert result.scores[0] > result.history[0]
    assert np.array_equal(result.statistics, counter(result.genes))
    assert max(sizes) >= 100  # the function gets batches


def test_native_equals_reference():
    counter, pool = make(even=even, odd=lambda genes: genes[:, 1::2].sum(axis=1))
    budgets = [Budget({"even": (0.0, 10.0), "odd": (3.0, np.inf)})]
    results = [
        evolve(score, counter, budgets, pool, pool.genes[:0], 1, generations=8, engine=engine)[0]
        for engine in ENGINES
    ]
    assert np.array_equal(results[0].genes, results[1].genes)


def test_front_minimizes_an_additional_statistic():
    counter, pool = make(even=even)
    front = pareto(
        score, counter, ["even"], Budget({"macs": (0.0, np.inf)}), pool, pool.genes[:0], 0, generations=30
    )
    assert (np.diff(front.scores) > 0).all()
    assert np.array_equal(even(front.genes), front.statistics[:, -1])


@pytest.mark.parametrize(
    "function",
    [lambda genes: np.zeros((len(genes), 2)), lambda genes: np.full(len(genes), np.nan), lambda genes: 1.0],
)
def test_function_of_wrong_shape_is_refused_by_name(function):
    counter = ExtendedCounter(Counter(load_space("tiny")), {"mine": function})
    with pytest.raises(UserError, match=r"'mine'.*one finite number each"):
        counter(counter.space.random(3, 0))


def test_name_that_is_counted_is_refused():
    with pytest.raises(UserError, match="'macs' is counted already"):
        ExtendedCounter(Counter(load_space("tiny")), {"macs": even})
