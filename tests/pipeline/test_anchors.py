"""What a run from parents trains first."""

import numpy as np
import pytest

from narsfast.arch import Family, create_model
from narsfast.cost import Budget, Counter
from narsfast.pipeline._anchors import NEARLY_MOST, SHALLOW, anchors, near_anchors
from narsfast.search import sample_bands
from narsfast.space import Space, default_recipe, load_space

NAMES = ("mobilenet_v3_small", "mnasnet1_0")


@pytest.fixture(scope="module")
def counter():
    """Provide a counter of the children of two networks, and of one that takes part whole."""
    parents = [{"reference": "torchvision:shufflenet_v2_x0_5", "name": "shufflenet"}]
    architecture = {
        "parent": {"choices": [*NAMES, "shufflenet"]},
        "resolution": {"choices": [32, 64, 96, 128]},
    }
    for name in NAMES:
        definition = create_model(name).definition
        fields = {key: spec for key, spec in Family(definition).fields.items() if key != "resolution"}
        architecture |= {f"{name}.{field}": spec for field, spec in fields.items()}
        parents.append({"reference": name, "name": name, "definition": definition.to_dict()})
    space = {"name": "s", "parents": parents, "architecture": architecture, "recipe": "finetune"}
    return Counter(Space.from_dict(space), 3, 10)


def shares(candidate):
    """Return the shares of channels of a candidate's own parent."""
    return {value for name, value in candidate.architecture.items() if name.endswith((".width", ".hidden"))}


def depths(candidate):
    """Return the numbers of blocks of each stage."""
    return [value for name, value in candidate.architecture.items() if name.endswith(".depth")]


def test_parents_as_they_are_and_evenly_shrunk_are_there_for_each_budget(counter):
    budgets = [Budget(macs=4e6), Budget(macs=30e6)]
    genes, band = anchors(counter, budgets)
    macs = counter(genes)[:, counter.names.index("macs")]
    candidates = counter.space.decode(genes)
    assert {candidate.architecture["parent"] for candidate in candidates[:3]} == {*NAMES, "shufflenet"}
    assert len(np.unique(genes, axis=0)) == len(genes)
    wanted = default_recipe("finetune")
    for candidate, cost, number in zip(candidates, macs, band, strict=True):
        assert cost <= (4e6, 30e6)[number]
        assert candidate.recipe["optimizer"] == wanted.optimizer
        assert candidate.recipe["frozen"] == wanted.frozen == 0
    for number in (0, 1):
        mine = [c for c, own in zip(candidates, band, strict=True) if own == number]
        for name in NAMES:
            kinds = [shares(c) for c in mine if c.architecture["parent"] == name]
            if number == 1:
                assert {100} in kinds
            assert any(len(kind) == 2 and 100 in kind for kind in kinds)


def test_shallow_ones_are_there_for_each_budget_too(counter):
    budgets = [Budget(macs=4e6), Budget(macs=30e6)]
    genes, band = anchors(counter, budgets)
    for number in (0, 1):
        for name, deepest in zip(NAMES, (3, 4), strict=True):
            mine = [
                candidate
                for candidate, own in zip(counter.space.decode(genes), band, strict=True)
                if own == number and candidate.architecture["parent"] == name
            ]
            assert {max(depths(candidate)) for candidate in mine} == {SHALLOW, deepest}


def test_shrunk_ones_use_most_of_the_budget_that_even_children_can(counter):
    genes, _ = anchors(counter, [Budget(macs=30e6)])
    macs = counter(genes)[:, counter.names.index("macs")]
    assert macs.max() > 0.8 * NEARLY_MOST * 30e6


def test_a_parent_that_keeps_no_budget_is_there_at_the_smallest_resolution(counter):
    genes, band = anchors(counter, [Budget(macs=1)])
    assert band.tolist() == [0, 0, 0]
    assert {candidate.architecture["resolution"] for candidate in counter.space.decode(genes)} == {32}


def test_parents_are_as_large_as_the_budget_allows(counter):
    genes, band = anchors(counter, [Budget(macs=15e6), Budget(macs=1e9)])
    sides = [
        (candidate.architecture["resolution"], number)
        for candidate, number in zip(counter.space.decode(genes), band, strict=True)
        if candidate.architecture["parent"] == "mnasnet1_0"
        and shares(candidate) == {100}
        and max(depths(candidate)) > SHALLOW
    ]
    assert sides == [(32, 0), (128, 1)]


def test_children_of_a_pool_are_near_the_anchors(counter):
    space, budgets = counter.space, [Budget(macs=10e6), Budget(macs=30e6)]
    pool = sample_bands(counter, budgets, 300, 0)
    near = near_anchors(pool, counter, budgets, 300, 3)
    space.check(near.genes)
    assert len(np.unique(near.genes, axis=0)) == len(near)
    assert abs(len(near) - len(pool)) <= 5  # bands overlap a little
    np.testing.assert_array_equal(near.statistics, counter(near.genes))
    for number, budget in enumerate(budgets):
        own = near.statistics[near.band == number]
        assert len(own) > 100
        assert budget.within(own, counter.names).all()
    recipes = [c for c, f in enumerate(space.fields) if f.part == "recipe" and len(f.values) > 1]
    default = anchors(counter, budgets)[0][0]
    changed = (near.genes[:, recipes] != default[recipes]).sum(1)
    assert 1 < changed.mean() < 5
    assert changed.min() == 0
    for candidate in space.decode(near.genes):
        hidden = [value for name, value in candidate.architecture.items() if name.endswith(".hidden")]
        if hidden:
            assert max(map(hidden.count, hidden)) >= len(hidden) - 7
    mobile = [c.architecture["parent"] for c in space.decode(near.genes)]
    assert min(map(mobile.count, (*NAMES, "shufflenet"))) >= 5


def test_a_pool_near_the_anchors_follows_its_seed(counter):
    budgets = [Budget(macs=30e6)]
    pool = sample_bands(counter, budgets, 100, 0)
    first, again, other = (near_anchors(pool, counter, budgets, 100, seed).genes for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_small_space_keeps_all_its_candidates(counter):
    fields = {name: counter.space.values(name)[0] for f in counter.space.fields for name in f.fills}
    free = ("batch_size", "mixup", "resolution")
    space = counter.space.fix({name: value for name, value in fields.items() if name not in free})
    small, budgets = Counter(space, 3, 10), [Budget(macs=1e9)]
    pool = sample_bands(small, budgets, space.size(), 0)
    near = near_anchors(pool, small, budgets, space.size(), 0)
    assert {tuple(row) for row in near.genes.tolist()} == {tuple(row) for row in pool.genes.tolist()}


def test_without_parents_an_even_candidate_with_the_middle_recipe_is_there_for_each_budget():
    counter = Counter(load_space("mobile").fix({"resolution": 64}), 3, 10)
    space, budgets = counter.space, [Budget(macs=6e6), Budget(macs=20e6), Budget(macs=1)]
    genes, band = anchors(counter, budgets)
    space.check(genes)
    assert band.tolist() == [0, 1]
    macs = counter(genes)[:, counter.names.index("macs")]
    assert (macs <= [6e6, 20e6]).all()
    assert (macs >= 0.7 * np.array([6e6, 20e6])).all()
    active = space.active(genes)
    for column in space.recipe_fields:
        assert (genes[active[:, column], column] == (space.sizes[column] - 1) // 2).all()
