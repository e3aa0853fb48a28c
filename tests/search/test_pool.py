import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narsfast.cost import Budget, Counter
from narsfast.errors import UserError
from narsfast.search import TableCounter, sample_bands, sample_pool
from narsfast.space import Space, load_space

COUNTER = Counter(load_space("tiny"), in_chans=1, num_classes=10)
BOUNDS = Budget(COUNTER.space.pool)


def flat(sizes, conditions=None):
    """Return the counter of a space with ranges a, b, ... whose statistic is the sum of the values of a and b."""
    fields = {name: {"range": [1, size]} for name, size in zip("abcdef", sizes, strict=False)}
    for name, when in (conditions or {}).items():
        fields[name]["when"] = when
    space = Space.from_dict({"name": "flat", "architecture": fields, "recipe": {}, "pool": {}, "budgets": []})
    table = np.zeros((len(sizes), max(sizes), 1))
    table[:2, :, 0] = np.arange(max(sizes)) + 1
    return TableCounter(space, ("cost",), table)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 700), st.integers(0, 2**32 - 1), st.floats(1e6, 1e7))
def test_candidates_are_distinct_canonical_and_inside(n, seed, high):
    bounds = Budget({"macs": (5e5, high)})
    pool = sample_pool(COUNTER, bounds, n, seed)
    assert len(pool) == n
    COUNTER.space.check(pool.genes)
    assert len(np.unique(pool.genes, axis=0)) == n
    np.testing.assert_array_equal(pool.statistics, COUNTER(pool.genes))
    assert bounds.within(pool.statistics, COUNTER.names).all()


def test_pool_depends_on_the_seed_only():
    first, again, other = (sample_pool(COUNTER, BOUNDS, 200, seed).genes for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_larger_pool_starts_with_the_smaller_one():
    small, large = (sample_pool(COUNTER, BOUNDS, n, 7).genes for n in (300, 9000))
    np.testing.assert_array_equal(large[:300], small)


def test_no_point_of_the_sequence_is_drawn_twice(monkeypatch):
    drawn, sobol = [], Space.sobol

    def spy(space, n, seed, skip=0):
        drawn.append((skip, n))
        return sobol(space, n, seed, skip)

    monkeypatch.setattr(Space, "sobol", spy)
    sample_pool(COUNTER, Budget({"macs": (0, 1.2e6)}), 3000, seed=0)
    assert len(drawn) > 1
    assert [skip for skip, _ in drawn] == np.cumsum([0, *(n for _, n in drawn[:-1])]).tolist()


def test_values_are_equally_frequent():
    """This is unlike a random sample, and holds for fields that are always active."""
    pool = sample_pool(COUNTER, None, 1024, seed=0)
    columns = [c for c, f in enumerate(COUNTER.space.fields) if not f.conditions and len(f.values) in (2, 4)]
    assert columns
    for column in columns:
        counts = np.bincount(pool.genes[:, column])
        np.testing.assert_allclose(counts, 1024 / len(counts), rtol=0.03)


@pytest.mark.parametrize("n", [1, 20, 24])
def test_pool_can_be_the_complete_space(n):
    pool = sample_pool(flat([2, 3, 4]), None, n, seed=0)
    assert len(np.unique(pool.genes, axis=0)) == n


def test_pool_larger_than_the_space_is_refused():
    counter = flat([2, 3, 4], {"c": {"a": [2]}})
    assert counter.space.size() == 15
    with pytest.raises(UserError, match="pool size is 16, but flat has only 15"):
        sample_pool(counter, None, 16, seed=0)


def test_pool_larger_than_the_feasible_set_is_refused():
    """4 of 24 candidates have the least cost."""
    bounds = Budget({"cost": (0, 2)})
    assert len(sample_pool(flat([2, 3, 4]), bounds, 4, seed=0)) == 4
    with pytest.raises(
        UserError, match=r"only 4 different candidates inside cost<=2 \(a share of 0.17 is inside\)"
    ):
        sample_pool(flat([2, 3, 4]), bounds, 5, seed=0)


def test_bounds_that_exclude_almost_everything_are_refused():
    with pytest.raises(UserError, match=re.escape("inside macs<=100 (a share of 0); widen the bounds")):
        sample_pool(COUNTER, Budget({"macs": (0, 100)}), 10, seed=0)
    rare = flat([60, 60, 60])
    with pytest.raises(UserError, match=r"a share of 0\.000\d+\); widen"):
        sample_pool(rare, Budget({"cost": (0, 3)}), 500, seed=0)


def test_unknown_statistic_is_refused_by_name():
    with pytest.raises(UserError, match="joules"):
        sample_pool(COUNTER, Budget({"joules": (0, 1)}), 10, seed=0)


def test_empty_pool_is_refused():
    with pytest.raises(UserError, match="pool size is 0"):
        sample_pool(COUNTER, BOUNDS, 0, seed=0)


@settings(max_examples=15, deadline=None)
@given(
    st.integers(3, 200),
    st.lists(st.floats(1e6, 2e7), min_size=1, max_size=3, unique=True),
    st.integers(0, 2**32 - 1),
)
def test_bands_have_as_many_candidates_that_use_most_of_their_budget(n, caps, seed):
    pool = sample_bands(COUNTER, [Budget(macs=cap) for cap in caps], n, seed)
    macs = pool.statistics[:, COUNTER.names.index("macs")]
    limit = np.array(caps)[pool.band]
    assert ((macs >= 0.6 * limit) & (macs <= limit)).all()
    np.testing.assert_array_equal(pool.statistics, COUNTER(pool.genes))
    assert len(np.unique(pool.genes, axis=0)) == len(pool) <= n
    apart = all(b < 0.6 * a or a < 0.6 * b for a in caps for b in caps if a != b)
    if apart:
        assert len(pool) == n
        assert np.ptp(np.bincount(pool.band, minlength=len(caps))) <= 1


def test_budget_above_the_space_has_the_whole_space_as_its_band():
    counter = flat([4, 4])
    pool = sample_bands(counter, [Budget({"cost": (0, 1000)}), Budget({"cost": (0, 3)})], 6, 0)
    assert (pool.band == 0).sum() == 3
    with pytest.raises(
        UserError,
        match=r"budget cost<=1: no candidate of flat that was sampled keeps it .they have cost 2.0 to 8.0",
    ):
        sample_bands(counter, [Budget({"cost": (0, 1)})], 4, 0)


def test_where_few_keep_a_budget_there_are_fewer():
    counter = flat([4, 4])
    pool = sample_bands(counter, [Budget({"cost": (0, 2)}), Budget({"cost": (0, 8)})], 12, 0)
    few = pool.statistics[pool.band == 0, 0]
    assert 1 <= len(few) < 6
    assert (few <= 2).all()


def test_anchors_take_the_place_of_the_last_candidates_and_are_there_once():
    pool = sample_bands(COUNTER, [Budget(macs=5e6), Budget(macs=2e6)], 40, 0)
    anchors = pool.genes[[3, 38]]
    anchored = pool.anchored(COUNTER, anchors, np.array([1, 0]))
    assert len(anchored) == 40
    assert anchored.anchors == 2
    np.testing.assert_array_equal(anchored.genes[:2], anchors)
    assert len(np.unique(anchored.genes, axis=0)) == 40
    assert anchored.band[:2].tolist() == [1, 0]
    np.testing.assert_array_equal(anchored.statistics, COUNTER(anchored.genes))
