"""Pareto fronts: the native engine equals the reference, and finds the true front of small spaces."""

import numpy as np
import pytest

from narsfast import _native
from narsfast.cost import Budget, Counter
from narsfast.errors import UserError
from narsfast.search import Pool, TableCounter, pareto
from narsfast.search._evolve import _NativeEngine
from narsfast.search._reference import ReferenceEngine
from narsfast.space import Space, load_space

ENGINES = (_NativeEngine(), ReferenceEngine())


def pairwise_score(space, seed=0):
    """Return an integer-valued score of values and of pairs of neighbors."""
    rng = np.random.default_rng(seed)
    most = int(space.sizes.max())
    single = rng.integers(0, 100, (len(space.fields), most))
    pairs = rng.integers(0, 60, (len(space.fields) - 1, most, most))
    columns = np.arange(len(space.fields))

    def score(genes):
        both = pairs[columns[:-1], genes[:, :-1], genes[:, 1:]].sum(axis=1)
        return (single[columns, genes].sum(axis=1) + both).astype(np.float64)

    return score


def small_counter():
    """Return the counter of a space of 3^8 candidates with two statistics."""
    space = Space.from_dict(
        {
            "name": "small",
            "architecture": {f"layer{number}": {"choices": [0, 1, 2]} for number in range(8)},
            "recipe": {},
        }
    )
    table = np.random.default_rng(3).integers(0, 50, (8, 3, 2)).astype(np.float64)
    return TableCounter(space, ("macs", "params"), table)


def all_genes(space):
    grid = np.stack(np.meshgrid(*[np.arange(size) for size in space.sizes], indexing="ij"), -1)
    return grid.reshape(-1, len(space.fields)).astype(np.int16)


def pool_of(counter, n=100, seed=1):
    genes = np.unique(counter.space.random(n, seed), axis=0)
    return Pool(genes, counter(genes))


def true_front(statistics, scores):
    """Return the set of nondominated (statistics, -score)."""
    points = np.unique(np.column_stack([statistics, -scores]), axis=0)
    return {tuple(point) for point in points if ((points <= point).all(axis=1)).sum() == 1}


@pytest.mark.parametrize("names", [["macs"], ["macs", "params"]])
@pytest.mark.parametrize("seed", range(5))
def test_front_is_the_true_one(names, seed):
    counter = small_counter()
    score, pool, genes = pairwise_score(counter.space), pool_of(counter), all_genes(counter.space)
    columns = [counter.names.index(name) for name in names]
    statistics = counter(genes)
    low, high = np.quantile(statistics[:, 0], [0.2, 0.7])
    budget = Budget({"macs": (float(low), float(high))})
    inside = budget.within(statistics, counter.names)
    wanted = true_front(statistics[inside][:, columns], score(genes[inside]))
    front = pareto(score, counter, names, budget, pool, pool.genes[:0], seed)
    found = set(map(tuple, np.column_stack([front.statistics[:, columns], -front.scores])))
    assert found == wanted
    assert len(front.scores) == len(wanted)
    assert budget.within(front.statistics, counter.names).all()
    assert (np.diff(front.statistics[:, columns[0]]) >= 0).all()
    assert np.array_equal(front.scores, score(front.genes))


@pytest.mark.parametrize("isa", _native.isas())
@pytest.mark.parametrize("size", [7, 60])
def test_native_equals_reference(monkeypatch, isa, size):
    monkeypatch.setenv("NARSFAST_ISA", isa)
    counter = Counter(load_space("tiny"), in_chans=1, num_classes=10)
    score, pool = pairwise_score(counter.space), pool_of(counter)
    budget = Budget({"macs": (0.0, float(np.median(pool.statistics[:, 0])))})
    fronts = [
        pareto(
            score,
            counter,
            ["macs", "depth"],
            budget,
            pool,
            pool.genes[:9],
            11,
            population_size=size,
            children_per_parent=2,
            generations=4,
            engine=engine,
        )
        for engine in ENGINES
    ]
    for name in ("genes", "scores", "statistics", "history"):
        assert np.array_equal(getattr(fronts[0], name), getattr(fronts[1], name)), name
    assert (fronts[0].num_offspring, fronts[0].num_evaluated) == (
        fronts[1].num_offspring,
        fronts[1].num_evaluated,
    )
    assert len(fronts[0].scores) <= size


def test_changes_of_a_candidate_are_tried_once():
    """In the rounds after the last generation, of which there are several here."""
    counter = small_counter()
    score, pool, budget = pairwise_score(counter.space), pool_of(counter), Budget({"macs": (0.0, np.inf)})
    fronts = [
        pareto(
            score,
            counter,
            ["macs", "params"],
            budget,
            pool,
            pool.genes[:0],
            0,
            children_per_parent=1,
            generations=generations,
            patience=1,
            engine=engine,
        )
        for generations in (3, 9)
        for engine in ENGINES
    ]
    for native, reference in (fronts[:2], fronts[2:]):
        assert np.array_equal(native.genes, reference.genes)
        assert native.num_offspring == reference.num_offspring
        assert native.num_offspring - native.num_evaluated < 10**5


def test_large_front_is_thinned_evenly():
    counter = small_counter()
    pool, budget = pool_of(counter), Budget({"macs": (0.0, np.inf)})

    def steady(genes):
        return counter(genes)[:, 0]  # so that the front has a candidate per value of macs

    whole = pareto(steady, counter, ["macs"], budget, pool, pool.genes[:0], 0, population_size=5000)
    few = pareto(steady, counter, ["macs"], budget, pool, pool.genes[:0], 0, population_size=10)
    assert (
        len(few.scores) == 10 < len(whole.scores) == len(np.unique(counter(all_genes(counter.space))[:, 0]))
    )
    assert np.ptp(few.scores) > 0.9 * np.ptp(whole.scores)


def test_wrong_objectives_are_refused():
    counter = small_counter()
    pool = pool_of(counter)
    for names, message in (
        ([], "one or two"),
        (["macs", "macs"], "one or two"),
        (["depth"], "depth is not counted"),
    ):
        with pytest.raises(UserError, match=message):
            pareto(
                pairwise_score(counter.space),
                counter,
                names,
                Budget({"macs": (0.0, np.inf)}),
                pool,
                pool.genes[:0],
                0,
            )
