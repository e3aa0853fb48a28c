"""Evolution: the native engine equals the reference, and every result has certain properties."""

import re
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from narsfast import _native
from narsfast.cost import Budget, Counter, format_number
from narsfast.errors import UserError
from narsfast.predictor import MixtureWeights, PredictorWeights, Process, native_surrogate
from narsfast.search import Pool, TableCounter, evolve, pareto
from narsfast.search._evolve import _NativeEngine
from narsfast.search._reference import ReferenceEngine
from narsfast.space import Space, load_space

ENGINES = (_NativeEngine(), ReferenceEngine())


def weighted_score(space, seed=0):
    """Return an integer-valued score: a weight per value, and a term for pairs of neighbors."""
    rng = np.random.default_rng(seed)
    table = rng.integers(-50, 50, (len(space.fields), int(space.sizes.max())))
    columns = np.arange(len(space.fields))

    def score(genes):
        pairs = (genes[:, 1:].astype(np.int64) * genes[:, :-1]).sum(axis=1)
        return (table[columns, genes].sum(axis=1) + pairs % 7).astype(np.float64)

    return score


def make_pool(counter, n=300, seed=1):
    genes = np.unique(counter.space.random(n, seed), axis=0)
    return Pool(genes, counter(genes))


def quantiles(pool, counter, *shares):
    """Return a budget per share, which bounds the first statistic by its quantile in the pool."""
    name = counter.names[0]
    return [Budget({name: (0.0, float(np.quantile(pool.statistics[:, 0], share)))}) for share in shares]


def assert_same(left, right):
    for one, other in zip(left, right, strict=True):
        for name in ("genes", "scores", "statistics", "history"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name
        assert (one.num_offspring, one.num_evaluated) == (other.num_offspring, other.num_evaluated)


def check_result(result, counter, score, pool):
    """Check the properties of every result."""
    space = counter.space
    space.check(result.genes)
    assert len(np.unique(space.keys(result.genes))) == len(result.genes)
    assert np.array_equal(result.statistics, counter(result.genes))
    assert result.budget.within(result.statistics, counter.names).all()
    assert np.array_equal(result.scores, score(result.genes))
    assert (np.diff(result.scores) <= 0).all()
    assert (np.diff(result.history) >= 0).all()
    assert result.history[-1] == result.scores[0]
    inside = result.budget.within(pool.statistics, counter.names)
    if inside.any():
        assert result.scores[0] >= result.history[0] >= score(pool.genes[inside]).max()


# Equality with the reference


@pytest.mark.parametrize("isa", _native.isas())
@pytest.mark.parametrize("name", ["tiny", "mobile"])
def test_native_equals_reference_on_networks(monkeypatch, isa, name):
    monkeypatch.setenv("NARSFAST_ISA", isa)
    counter = Counter(load_space(name), in_chans=1, num_classes=10)
    score, pool = weighted_score(counter.space), make_pool(counter)
    budgets = quantiles(pool, counter, 0.1, 0.6)
    budgets.append(
        Budget({"params": (0.0, float(np.median(pool.statistics[:, 2]))), "depth": (10.0, np.inf)})
    )
    trained = counter.space.random(30, 9)
    results = [
        evolve(score, counter, budgets, pool, trained, 2**63 + 5, engine=engine, generations=12)
        for engine in ENGINES
    ]
    assert_same(*results)
    for result in results[0]:
        check_result(result, counter, score, pool)


fields = st.one_of(
    st.integers(1, 5).map(lambda n: {"choices": list(range(n))}),
    st.integers(1, 9).map(lambda n: {"range": [0, n]}),
)


@st.composite
def spaces(draw):
    """Draw small spaces of any fields, some of them conditional on an earlier one."""
    parts = {}
    for part, least in (("architecture", 1), ("recipe", 0)):
        parts[part] = {}
        for number in range(draw(st.integers(least, 6))):
            field = dict(draw(fields))
            earlier = [name for name, spec in parts[part].items() if "choices" in spec]
            if earlier and draw(st.booleans()):
                parent = draw(st.sampled_from(earlier))
                values = parts[part][parent]["choices"]
                field["when"] = {parent: draw(st.lists(st.sampled_from(values), min_size=1, unique=True))}
            parts[part][f"{part[0]}{number}"] = field
    return Space.from_dict({"name": "drawn", **parts})


@settings(max_examples=40, deadline=None)
@given(
    space=spaces(),
    seed=st.integers(0, 2**64 - 1),
    share=st.floats(0.05, 1.0),
    options=st.fixed_dictionaries(
        {
            "population_size": st.integers(1, 12),
            "children_per_parent": st.integers(1, 5),
            "num_parents": st.integers(0, 5),
            "num_random": st.integers(0, 5),
            "patience": st.integers(1, 4),
            "crossover": st.sampled_from([0.0, 0.5, 1.0]),
            "mutation": st.sampled_from([0.0, 0.7, 1.0, 100.0]),
        }
    ),
)
def test_native_equals_reference_on_random_spaces(space, seed, share, options):
    rng = np.random.default_rng(seed)
    table = rng.uniform(0, 1, (len(space.fields), int(space.sizes.max()), 2))
    counter = TableCounter(space, ("cost", "other"), table)
    score, pool = weighted_score(space), make_pool(counter, 40)
    budgets = quantiles(pool, counter, share)
    trained = space.random(6, 3)
    results = [
        evolve(score, counter, budgets, pool, trained, seed, engine=engine, generations=6, **options)
        for engine in ENGINES
    ]
    assert_same(*results)
    check_result(results[0][0], counter, score, pool)


def test_callable_counter_gives_the_same_result():
    counter = Counter(load_space("tiny"))
    pool, score = make_pool(counter), weighted_score(counter.space)

    class Wrapped:
        space, names = counter.space, counter.names

        def __call__(self, genes):
            return counter(genes)

    budgets = quantiles(pool, counter, 0.2, 0.5)
    trained = pool.genes[:10]
    results = [evolve(score, c, budgets, pool, trained, 3, generations=8) for c in (counter, Wrapped())]
    assert_same(*results)


def test_children_outside_the_budget_are_repaired():
    counter = Counter(load_space("mobile"))
    pool = make_pool(counter)
    budget = quantiles(pool, counter, 0.2)[0]
    shares_inside = []

    def larger(genes):
        return counter(genes)[:, 0].astype(np.float64)

    class Watched:
        space, names = counter.space, counter.names

        def __call__(self, genes):
            statistics = counter(genes)
            if len(genes) == 80 * 6:
                shares_inside.append(budget.within(statistics, self.names).mean())
            return statistics

    result = evolve(larger, Watched(), [budget], pool, pool.genes, 0, generations=15)[0]
    assert np.mean(shares_inside) < 0.6
    assert result.num_evaluated > 0.85 * result.num_offspring


# Predictors


class SmallPredictor:
    """A predictor of two ensemble members with random weights and small layers."""

    names = ("params", "macs")

    def __init__(self, space):
        rng = np.random.default_rng(0)
        genes = space.random(1, 0)
        architecture, recipe = (space.features(genes, part).shape[1] for part in ("architecture", "recipe"))
        self.recipe = recipe

        def layer(inputs, outputs):
            return (
                rng.standard_normal((2, inputs, outputs)).astype(np.float32),
                rng.standard_normal((2, outputs)).astype(np.float32),
            )

        self._weights = PredictorWeights(
            statistic_mean=np.array([11, 14], np.float32),
            statistic_std=np.array([1, 2], np.float32),
            encoder=[layer(architecture, 20)],
            head=[layer(20 + 2 + recipe, 16), layer(16, 1)],
            output_mean=60.0,
            output_scale=3.0,
            deviation_scale=1.7,
            deviation_floor=0.3,
        )

    def weights(self):
        return self._weights


def test_scores_are_those_of_the_native_predictor():
    counter = Counter(load_space("tiny"))
    pool, predictor = make_pool(counter), SmallPredictor(counter.space)
    budgets = quantiles(pool, counter, 0.3, 0.8)
    native, reference = (
        evolve(predictor, counter, budgets, pool, pool.genes[:20], 1, engine=engine) for engine in ENGINES
    )
    scorer = _native.Predictor(counter.space.tables(), predictor.weights())
    for result, other in zip(native, reference, strict=True):
        picked = result.statistics[:, [counter.names.index(name) for name in predictor.names]]
        mean, std = scorer.score(result.genes, picked)
        assert np.array_equal(result.scores, mean)
        assert np.array_equal(result.std, std)
        assert std.min() > 0
        assert result.scores[0] > result.history[0]
        np.testing.assert_allclose(result.scores[0], other.scores[0], rtol=1e-3)
        np.testing.assert_allclose(result.history[0], other.history[0], rtol=1e-5)


def surrogates(counter):
    """Return one of each kind, by name."""
    genes = counter.space.random(40, 8)
    labels = 60 + 3 * np.log(counter(genes)[:, 0] / 1e6) - genes[:, -1]
    process = Process.of(counter, counter.space.random(200, 9)).fit(genes, labels, 0)
    network, rng = SmallPredictor(counter.space), np.random.default_rng(1)
    network.names = counter.names
    network._weights = replace(
        network._weights,
        statistic_mean=np.full(len(counter.names), 12, np.float32),
        statistic_std=np.ones(len(counter.names), np.float32),
        head=[
            (
                rng.normal(0, 0.3, (2, 20 + len(counter.names) + network.recipe, 1)).astype(np.float32),
                np.zeros((2, 1), np.float32),
            )
        ],
    )
    mixture = SimpleNamespace(
        names=counter.names,
        weights=lambda: MixtureWeights((process.weights(), network.weights()), (0.7, 0.3)),
    )
    return {"process": process, "network": network, "mixture": mixture}


@pytest.mark.parametrize("kind", ["process", "network", "mixture"])
@pytest.mark.parametrize("caution", [0.0, 1.5])
def test_every_kind_of_surrogate_is_evolved_as_by_the_reference(kind, caution):
    counter = Counter(load_space("tiny"))
    pool, surrogate = make_pool(counter), surrogates(counter)[kind]
    budgets = quantiles(pool, counter, 0.3, 0.8)
    options = {"generations": 12, "caution": caution}
    native, reference = (
        evolve(surrogate, counter, budgets, pool, pool.genes[:20], 1, engine=engine, **options)
        for engine in ENGINES
    )
    scorer = native_surrogate(counter.space.tables(), surrogate.weights())
    for result, other in zip(native, reference, strict=True):
        mean, std = scorer.score(result.genes, result.statistics)
        assert np.array_equal(result.scores, mean - caution * std)
        assert np.array_equal(result.std, std)
        assert result.scores[0] > result.history[0]
        np.testing.assert_allclose(result.scores[0], other.scores[0], rtol=1e-3)
        np.testing.assert_allclose(result.history[0], other.history[0], rtol=1e-5)


@pytest.mark.parametrize("kind", ["process", "network", "mixture"])
def test_caution_prefers_what_is_known(kind):
    counter = Counter(load_space("tiny"))
    pool, surrogate = make_pool(counter), surrogates(counter)[kind]
    bold, careful = (
        evolve(surrogate, counter, quantiles(pool, counter, 0.8), pool, pool.genes[:0], 1, caution=caution)[0]
        for caution in (0.0, 3.0)
    )
    means = bold.scores, careful.scores + 3 * careful.std
    assert careful.std[0] < bold.std[0]
    assert means[1][0] < means[0][0]
    front = pareto(
        surrogate, counter, ["macs"], bold.budget, pool, pool.genes[:0], 1, generations=4, caution=3.0
    )
    scorer = native_surrogate(counter.space.tables(), surrogate.weights())
    mean, std = scorer.score(front.genes, front.statistics)
    assert np.array_equal(front.scores, mean - 3 * std)


def test_caution_has_no_influence_on_a_function():
    counter = Counter(load_space("tiny"))
    pool, score = make_pool(counter), weighted_score(counter.space)
    budgets = quantiles(pool, counter, 0.5)
    results = [
        evolve(score, counter, budgets, pool, pool.genes[:9], 1, caution=caution, generations=5)
        for caution in (0.0, 2.0)
    ]
    assert_same(*results)


@pytest.mark.parametrize("caution", [-0.1, np.nan, np.inf])
def test_caution_below_zero_is_refused(caution):
    counter = Counter(load_space("tiny"))
    pool = make_pool(counter)
    with pytest.raises(UserError, match=r"caution is .*; it should be 0 or more"):
        evolve(
            weighted_score(counter.space), counter, quantiles(pool, counter, 0.5), pool, pool.genes[:9], 1,
            caution=caution,
        )  # fmt: skip


def test_results_do_not_depend_on_threads_or_other_budgets():
    counter = Counter(load_space("mobile"))
    pool, predictor = make_pool(counter), SmallPredictor(counter.space)
    budgets = quantiles(pool, counter, 0.1, 0.5, 0.9)
    trained = pool.genes[:50]

    def run(budgets):
        return evolve(predictor, counter, budgets, pool, trained, 5, generations=8, population_size=1500)

    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = [run([budget])[0] for budget in budgets]
        torch.set_num_threads(3)
        assert_same(run(budgets), alone)
        assert_same(run(budgets[::-1]), alone[::-1])
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("called", ["score", "counter"])
def test_functions_in_python_are_called_by_the_thread_that_evolves(called):
    """Even if there are enough budgets for all threads."""
    counter = Counter(load_space("tiny"))
    pool, seen = make_pool(counter), set()

    class Counting:
        space, names = counter.space, counter.names

        def __call__(self, genes):
            seen.add(threading.get_ident())
            return counter(genes)

    def score(genes):
        seen.add(threading.get_ident())
        return weighted_score(counter.space)(genes)

    given = (score, counter) if called == "score" else (SmallPredictor(counter.space), Counting())
    budgets = quantiles(pool, counter, 0.2, 0.4, 0.6, 0.8)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        evolve(*given, budgets, pool, pool.genes[:9], 1, generations=3)
    finally:
        torch.set_num_threads(threads)
    assert seen == {threading.get_ident()}


def test_predictor_with_a_nan_is_refused():
    """A negative or NaN weight must not look like a unit that is off."""
    counter = Counter(load_space("tiny"))
    pool, predictor = make_pool(counter), SmallPredictor(counter.space)
    for layer in (*predictor.weights().encoder, *predictor.weights().head):
        for array in layer:
            kept = array.flat[0]
            array.flat[0] = np.nan
            with pytest.raises(ValueError, match="a score is not finite"):
                evolve(predictor, counter, quantiles(pool, counter, 0.5), pool, pool.genes[:5], 1)
            array.flat[0] = kept


def test_results_depend_on_the_seed():
    counter = Counter(load_space("tiny"))
    pool, score = make_pool(counter), weighted_score(counter.space)
    budgets = quantiles(pool, counter, 0.5)
    results = [evolve(score, counter, budgets, pool, pool.genes[:0], seed, generations=3) for seed in (1, 2)]
    assert not np.array_equal(results[0][0].genes, results[1][0].genes)


# Crossover and mutation


def scattered(fields=24, values=40, known=3):
    """Return a space whose optimum is one value per field, and a pool whose candidates have `known` of these values.

    The optimal values of all fields except the last are somewhere in the pool.
    """
    names = {f"a{number}": {"choices": list(range(values))} for number in range(fields)}
    space = Space.from_dict({"name": "scattered", "architecture": names, "recipe": {}})
    counter = TableCounter(space, ("cost",), np.zeros((fields, values, 1)))
    rng = np.random.default_rng(0)
    optimum = rng.integers(1, values, fields)
    rows = []
    for _ in range(40):
        row = (optimum + rng.integers(1, values, fields)) % values
        columns = rng.choice(fields - 1, known, replace=False)
        row[columns] = optimum[columns]
        rows.append(row)
    genes = np.array(rows, np.int16)
    assert ((genes == optimum).any(axis=0) == (np.arange(fields) < fields - 1)).all()
    pool = Pool(genes, counter(genes))
    return counter, pool, lambda candidates: (candidates == optimum).sum(axis=1).astype(np.float64)


@pytest.mark.parametrize("engine", ENGINES, ids=["native", "reference"])
def test_optimum_needs_crossover_and_mutation(engine):
    counter, pool, score = scattered()

    def best(**options):
        budgets = [Budget({"cost": (0.0, 1.0)})]
        results = evolve(
            score,
            counter,
            budgets,
            pool,
            pool.genes,
            4,
            engine=engine,
            generations=25,
            patience=25,
            **options,
        )
        return results[0].scores[0]

    assert best() == 24
    assert best(mutation=0.0) <= 23
    assert best(crossover=0.0) < 20


# Termination


@pytest.mark.parametrize("engine", ENGINES, ids=["native", "reference"])
@pytest.mark.parametrize(("patience", "epsilon"), [(1, 1e-6), (4, 1e-6), (4, 0.0)])
def test_evolution_ends_after_patience_generations_without_gain(engine, patience, epsilon):
    counter = Counter(load_space("tiny"))
    pool = make_pool(counter, 50)
    result = evolve(
        lambda genes: np.full(len(genes), -3.0),
        counter,
        quantiles(pool, counter, 0.9),
        pool,
        pool.genes[:0],
        0,
        patience=patience,
        epsilon=epsilon,
        engine=engine,
    )[0]
    assert result.generations == patience
    assert result.history.tolist() == [-3.0] * (patience + 1)


@pytest.mark.parametrize("engine", ENGINES, ids=["native", "reference"])
def test_evolution_continues_with_gains_above_epsilon_up_to_the_limit(engine):
    counter = Counter(load_space("mobile"))
    pool, score = make_pool(counter, 100), weighted_score(counter.space)
    budgets = quantiles(pool, counter, 0.9)

    def generations(**options):
        return evolve(score, counter, budgets, pool, pool.genes[:0], 0, engine=engine, **options)[
            0
        ].generations

    assert generations(patience=3, generations=6) == 6
    assert 3 < generations(patience=3, generations=100) < 100
    assert generations(patience=3, epsilon=1e9) == 3
    assert generations(generations=0) == 0


def test_offset_of_scores_has_no_influence():
    counter = Counter(load_space("tiny"))
    pool, score = make_pool(counter), weighted_score(counter.space)
    budgets = quantiles(pool, counter, 0.5)
    high, low = (
        evolve(lambda genes, by=by: score(genes) + by, counter, budgets, pool, pool.genes[:0], 0)[0]
        for by in (0.0, -(2.0**20))
    )
    assert np.array_equal(high.genes, low.genes)


# Start


def test_start_has_the_wanted_candidates_inside_the_budget():
    counter = Counter(load_space("tiny"))
    pool, score = make_pool(counter), weighted_score(counter.space)
    budget = quantiles(pool, counter, 0.5)[0]
    inside = pool.genes[budget.within(pool.statistics, counter.names)]
    trained = counter.space.random(60, 17)
    trained = trained[budget.within(counter(trained), counter.names)]

    def start(**options):
        result = evolve(
            score, counter, [budget], pool, trained, 0, generations=0, population_size=1000, **options
        )[0]
        return result.genes

    everything = start(num_parents=1000, num_random=1000)
    assert len(everything) == len(np.unique(np.concatenate([inside, trained]), axis=0))
    best = inside[[score(inside).argmax()]]
    assert np.array_equal(start(num_parents=0, num_random=0), best)
    top = trained[np.argsort(-score(trained), kind="stable")[:3]]
    assert {row.tobytes() for row in start(num_parents=3, num_random=0)} == {
        row.tobytes() for row in np.concatenate([top, best])
    }
    assert 7 <= len(start(num_parents=0, num_random=7)) <= 8


def test_evolution_can_start_from_trained_candidates_alone():
    counter = Counter(load_space("tiny"))
    score = weighted_score(counter.space)
    genes = counter.space.random(200, 2)
    smallest = counter(genes)[:, 0].argmin()
    rest = np.delete(genes, smallest, axis=0)
    pool = Pool(rest, counter(rest))
    budget = Budget({"macs": (0.0, float(counter(genes)[smallest, 0]))})
    result = evolve(score, counter, [budget], pool, genes, 0, generations=5)[0]
    check_result(result, counter, score, pool)


def test_unreachable_budget_is_refused_with_the_smallest_value():
    counter = Counter(load_space("tiny"))
    pool = make_pool(counter)
    smallest = re.escape(format_number(float(pool.statistics[:, 0].min())))
    with pytest.raises(UserError, match=f"macs<=10K .*smallest macs in the pool is {smallest};"):
        evolve(weighted_score(counter.space), counter, [Budget({"macs": (0, 1e4)})], pool, pool.genes, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"population_size": 0}, "population_size is 0"),
        ({"children_per_parent": 0}, "children_per_parent is 0"),
        ({"patience": 0}, "patience is 0"),
    ],
)
def test_sizes_below_one_are_refused(options, message):
    counter = Counter(load_space("tiny"))
    pool = make_pool(counter, 50)
    with pytest.raises(UserError, match=message):
        evolve(weighted_score(counter.space), counter, [], pool, pool.genes, 0, **options)


def test_budget_on_an_unknown_statistic_is_refused():
    counter = Counter(load_space("tiny"))
    pool = make_pool(counter, 50)
    with pytest.raises(UserError, match="latency is not counted; counted are macs"):
        evolve(weighted_score(counter.space), counter, [Budget({"latency": (0, 1)})], pool, pool.genes, 0)


def test_errors_of_the_scoring_function_are_raised():
    counter = Counter(load_space("tiny"))
    pool = make_pool(counter, 50)
    budgets = quantiles(pool, counter, 0.9)
    calls = []

    def broken(genes):
        calls.append(len(genes))
        if len(calls) > 4:
            raise KeyError("no such score")
        return np.arange(len(genes), dtype=float)

    with pytest.raises(KeyError, match="no such score"):
        evolve(broken, counter, budgets, pool, pool.genes[:5], 0)
    for engine in ENGINES:
        with pytest.raises(ValueError, match="not finite"):
            evolve(
                lambda genes: np.full(len(genes), np.nan),
                counter,
                budgets,
                pool,
                pool.genes,
                0,
                engine=engine,
            )
