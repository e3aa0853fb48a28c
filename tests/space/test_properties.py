"""Properties of random spaces: round trips, the canonical form, sizes, fixed fields."""

import itertools
import json
import pickle

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from narsfast.space import Candidate, Space, load_space

RANDOM = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
FEW = settings(RANDOM, max_examples=20)

SPECS = st.one_of(
    st.lists(st.integers(-5, 60), min_size=1, max_size=4, unique=True).map(lambda v: {"choices": v}),
    st.lists(st.sampled_from("abcde"), min_size=1, max_size=3, unique=True).map(lambda v: {"choices": v}),
    st.just({"choices": [True, False]}),
    st.tuples(st.integers(-3, 9), st.integers(0, 3), st.integers(1, 8)).map(
        lambda r: {"range": [r[0], r[0] + r[1] * r[2], r[2]]}
    ),
    st.tuples(st.integers(0, 30), st.integers(0, 3), st.sampled_from([0.001, 1e-6, 0.25])).map(
        lambda r: {"range": [r[0], r[0] + r[1]], "unit": r[2]}
    ),
    st.integers(0, 9).map(lambda v: {"value": v}),
)


def values_of(spec):
    return Space.from_dict({"name": "s", "architecture": {"x": spec}}).values("x")


class Drawn:
    """A random space, and an independent description of its columns and their conditions."""

    def __init__(self, data, columns):
        self.space = Space.from_dict(data)
        self.data = data
        self.columns = columns  # name -> (values, [(parent, activating values), ...] or None), parents first

    def candidates(self):
        """Enumerate all distinct assignments of the active columns."""
        seen = set()
        for assignment in itertools.product(*(values for values, _ in self.columns.values())):
            chosen = dict(zip(self.columns, assignment, strict=True))
            active = {}
            for name, (_, conditions) in self.columns.items():
                if conditions is None or any(p in active and active[p] in v for p, v in conditions):
                    active[name] = chosen[name]
            seen.add(tuple((name, type(value), value) for name, value in active.items()))
        return seen


@st.composite
def spaces(draw):
    """Draw up to six columns with sharing groups and conditions, in any order."""
    parts = {"architecture": {}, "recipe": {}}
    columns = {}
    total = draw(st.integers(1, 6))
    first_recipe = draw(st.integers(0, total))
    for number in range(total):
        part = "recipe" if number >= first_recipe else "architecture"
        spec = draw(SPECS)
        values = values_of(spec)
        sharing = draw(st.integers(1, 2))
        activation = []
        for position in range(sharing):
            name = f"f{number}" if sharing == 1 else f"f{number}.{position}"
            written = spec | ({"share": f"f{number}"} if sharing > 1 else {})
            parents = (
                draw(st.lists(st.sampled_from(list(columns)), max_size=2, unique=True)) if columns else []
            )
            when = {}
            for parent in parents:
                options = columns[parent][0]
                when[parent] = draw(st.lists(st.sampled_from(options), min_size=1, unique=True))
            if when:
                written = written | {"when": when}
            activation.append([(parent, tuple(wanted)) for parent, wanted in when.items()])
            parts[part][name] = written
        always = any(not conditions for conditions in activation)
        columns[f"f{number}"] = (
            values,
            None if always else [c for conditions in activation for c in conditions],
        )
    order = draw(st.permutations(list(parts["architecture"])))
    data = {"name": "drawn", "architecture": {name: parts["architecture"][name] for name in order}}
    data["recipe"] = {name: parts["recipe"][name] for name in reversed(parts["recipe"])}
    return Drawn(data, columns)


def raw_genes(space, n, seed):
    return np.random.default_rng(seed).integers(0, space.sizes, (n, len(space.fields))).astype(np.int16)


SEEDS = st.integers(0, 1000)


@RANDOM
@given(spaces())
def test_size_is_the_number_of_distinct_candidates(drawn):
    expected = drawn.candidates()
    assert drawn.space.size() == len(expected)
    every = list(itertools.product(*(range(size) for size in drawn.space.sizes)))
    canonical = np.unique(drawn.space.canonical(every), axis=0)
    assert len(canonical) == len(expected)
    assert len(set(drawn.space.ids(canonical))) == len(expected)
    assert len(set(drawn.space.keys(canonical).tolist())) == len(expected)


@RANDOM
@given(spaces())
def test_decode_gives_exactly_the_candidates(drawn):
    space = drawn.space
    owner = {name: field.name for field in space.fields for name in field.fills}
    every = np.unique(
        space.canonical(list(itertools.product(*(range(size) for size in space.sizes)))), axis=0
    )
    found = set()
    for candidate in space.decode(every):
        values = {**candidate.architecture, **candidate.recipe}
        by_column = {owner[name]: value for name, value in values.items()}
        assert all(by_column[owner[name]] == value for name, value in values.items())
        found.add(
            tuple(
                (name, type(by_column[name]), by_column[name]) for name in drawn.columns if name in by_column
            )
        )
    assert found == drawn.candidates()


@RANDOM
@given(spaces(), SEEDS)
def test_encode_inverts_decode_and_from_features_inverts_features(drawn, seed):
    space = drawn.space
    genes = raw_genes(space, 20, seed)
    canonical = space.canonical(genes)
    np.testing.assert_array_equal(space.encode(space.decode(genes)), canonical)
    np.testing.assert_array_equal(space.from_features(space.features(genes)), canonical)
    reread = [
        Candidate(json.loads(json.dumps(dict(c.architecture))), json.loads(json.dumps(dict(c.recipe))))
        for c in space.decode(genes)
    ]
    np.testing.assert_array_equal(space.encode(reread), canonical)


@RANDOM
@given(spaces(), SEEDS)
def test_canonical_genes_keep_active_genes_keys_ids_and_features(drawn, seed):
    space = drawn.space
    genes = raw_genes(space, 20, seed)
    canonical = space.canonical(genes)
    np.testing.assert_array_equal(space.canonical(canonical), canonical)
    np.testing.assert_array_equal(space.active(canonical), space.active(genes))
    assert not canonical[~space.active(genes)].any()
    np.testing.assert_array_equal(canonical[space.active(genes)], genes[space.active(genes)])
    space.check(canonical)
    np.testing.assert_array_equal(space.keys(genes), space.keys(canonical))
    assert space.ids(genes) == space.ids(canonical)
    np.testing.assert_array_equal(space.features(genes), space.features(canonical))


@RANDOM
@given(spaces())
def test_dict_and_pickle_give_an_equal_space(drawn):
    space = drawn.space
    stored = json.loads(json.dumps(space.to_dict()))
    again = Space.from_dict(stored)
    assert again == space
    assert again.to_dict() == stored
    assert again.fields == space.fields
    assert again.fingerprint() == space.fingerprint()
    assert pickle.loads(pickle.dumps(space)) == space


@RANDOM
@given(spaces(), st.data())
def test_fixing_divides_the_space(drawn, data):
    space = drawn.space
    field = data.draw(st.sampled_from(space.fields))
    column = space.column(field.name)
    every = np.unique(
        space.canonical(list(itertools.product(*(range(size) for size in space.sizes)))), axis=0
    )
    active = space.active(every)[:, column]
    inactive = int((~active).sum())
    for gene, value in enumerate(field.values):
        fixed = space.fix({data.draw(st.sampled_from(field.fills)): value})
        expected = every[~active | (every[:, column] == gene)]
        assert fixed.size() == int((active & (every[:, column] == gene)).sum()) + inactive
        genes = fixed.random(5, gene)
        candidates = fixed.decode(genes)
        assert fixed.ids(genes) == space.ids(space.encode(candidates))  # ids stay in a fixed space
        assert len(np.unique(fixed.encode(space.decode(expected)), axis=0)) == fixed.size()
        assert Space.from_dict(fixed.to_dict()) == fixed


@RANDOM
@given(spaces(), SEEDS)
def test_only_recipe_and_only_architecture_fix_the_other_part(drawn, seed):
    space = drawn.space
    assume(len(space.recipe_fields))
    candidate = space.decode(space.random(1, seed))[0]
    depends_on_architecture = any(
        space.field(condition.parent).part == "architecture"
        for field in space.fields
        if field.part == "recipe"
        for condition in field.conditions
    )
    recipes = space.only_recipe(candidate.architecture)
    assert not recipes.searches_architecture
    assert recipes.features(recipes.random(3, 0), "architecture").shape == (3, 0)
    assert all(found.architecture == candidate.architecture for found in recipes.decode(recipes.random(3, 0)))
    if not depends_on_architecture:
        architectures = space.only_architecture(candidate.recipe)
        assert not architectures.searches_recipe
        assert architectures.size() * recipes.size() == space.size()
        assert candidate in architectures.decode(architectures.encode([candidate]))


# Networks


@st.composite
def networks(draw):
    """Draw a built-in space with other ranges and shared rest kernels in some stages."""
    space = load_space(draw(st.sampled_from(["tiny", "mobile"])))
    data = space.to_dict()
    sharing = draw(st.sets(st.integers(2, space.stages), max_size=3))
    for number in sharing:
        data["architecture"][f"stage{number}.kernel.rest"] = {"choices": [3, 5], "share": "kernels"}
    for number in range(1, space.stages + 1):
        low = draw(st.integers(1, 3))
        data["architecture"][f"stage{number}.depth"] = {"range": [low, low + draw(st.integers(0, 2))]}
    return Space.from_dict(data)


@FEW
@given(networks(), SEEDS)
def test_network_genes_survive_candidates_features_and_json(space, seed):
    genes = raw_genes(space, 10, seed)
    canonical = space.canonical(genes)
    np.testing.assert_array_equal(space.encode(space.decode(genes)), canonical)
    np.testing.assert_array_equal(space.from_features(space.features(genes)), canonical)
    np.testing.assert_array_equal(space.keys(genes), space.keys(canonical))
    assert Space.from_dict(json.loads(json.dumps(space.to_dict()))).fields == space.fields
    for candidate in space.decode(genes):
        for number in range(1, space.stages + 1):
            rest = f"stage{number}.kernel.rest"
            if candidate.architecture[f"stage{number}.depth"] > 1 or space.field(rest).fills != (rest,):
                continue
            assert rest not in candidate.architecture
