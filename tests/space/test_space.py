"""Genes, candidates and derived spaces, with values written by hand; test_properties.py draws random spaces."""

import numpy as np
import pytest

from narsfast.errors import UserError
from narsfast.space import Candidate, Recipe, Space, load_space

HAND = Space.from_dict(
    {
        "name": "hand",
        "architecture": {
            "depth": {"range": [1, 3]},
            "rest": {"choices": [3, 5], "when": {"depth": "> 1"}},
            "one": {"choices": [8, 16], "share": "both"},
            "two": {"choices": [8, 16], "share": "both"},
        },
        "recipe": {"rate": {"range": [20, 30], "unit": 0.001}, "ema": {"choices": [True, False]}},
        "pool": {"macs": "5M"},
    }
)
ARCHITECTURE = {"depth": 2, "rest": 5, "one": 16, "two": 16}
RECIPE = {"rate": 0.021, "ema": False}


def test_encode_and_decode_are_inverse():
    genes = HAND.encode([Candidate(ARCHITECTURE, RECIPE)])
    assert genes.tolist() == [[1, 1, 1, 1, 1]]
    assert genes.dtype == np.int16
    assert HAND.decode(genes) == [Candidate(ARCHITECTURE, RECIPE)]
    assert HAND.decode([[0, 1, 1, 1, 1]])[0].architecture == {"depth": 1, "one": 16, "two": 16}
    assert HAND.encode([]).shape == (0, 5)
    assert HAND.decode(np.zeros((0, 5), np.int16)) == []


def test_one_name_sets_all_shared_ones():
    candidate = Candidate({"depth": 1, "two": 16}, RECIPE)
    assert HAND.decode(HAND.encode([candidate]))[0].architecture == {"depth": 1, "one": 16, "two": 16}


@pytest.mark.parametrize(
    ("architecture", "recipe", "where", "remedy"),
    [
        ({"depth": 4}, {}, "depth is 4", "1 to 3 in steps of 1"),
        ({"rest": 4}, {}, "rest is 4", "3 or 5"),
        ({"one": 8}, {}, "one is 8, two is 16", "must have the same value"),
        ({"depth": 1}, {}, "rest is 5", "leave it out"),
        ({"width": 3}, {}, "architecture has no field 'width'", "depth, rest, one, two"),
        ({"ema": True}, {}, "architecture has no field 'ema'", "depth, rest, one, two"),
        ({}, {"rate": 0.0215}, "rate is 0.0215", "0.02 to 0.03 in steps of 0.001"),
        ({}, {"ema": "on"}, "ema is 'on'", "True or False"),
        ({}, {"momentum": 0.9}, "recipe has no field 'momentum'", "rate, ema"),
    ],
)
def test_encode_refuses_wrong_values_with_the_legal_ones(architecture, recipe, where, remedy):
    with pytest.raises(UserError) as error:
        HAND.encode([Candidate(ARCHITECTURE | architecture, RECIPE | recipe)])
    assert where in str(error.value)
    assert remedy in str(error.value)


def test_encode_refuses_missing_fields_by_name():
    with pytest.raises(UserError, match="rest is missing; it must be 3 or 5"):
        HAND.encode([Candidate({"depth": 2, "one": 8}, RECIPE)])


@pytest.mark.parametrize(
    "method", [HAND.canonical, HAND.decode, HAND.active, HAND.keys, HAND.features, HAND.check]
)
@pytest.mark.parametrize(
    ("genes", "message"),
    [
        ([[0, 0, 0, 11, 0]], "gene rate of row 0 is 11; it must be 0 to 10"),
        ([[0, 0, 0, 0, 0], [0, 0, -1, 0, 0]], "gene both of row 1 is -1; it must be 0 to 1"),
        ([[65536, 0, 0, 0, 0]], "gene depth of row 0 is 65536"),
        ([[0, 0]], r"shape \(1, 2\); hand needs \(n, 5\)"),
        ([0, 0, 0, 0, 0], r"shape \(5,\); hand needs \(n, 5\)"),
    ],
)
def test_genes_out_of_range_are_refused(method, genes, message):
    with pytest.raises(ValueError, match=message):
        method(genes)


def test_check_refuses_non_canonical_genes():
    HAND.check([[0, 0, 1, 10, 1]])
    with pytest.raises(ValueError, match="gene rest of row 1 is 1; it is inactive and must be 0"):
        HAND.check([[1, 1, 0, 0, 0], [0, 1, 0, 0, 0]])


def test_keys_follow_the_documented_formula():
    genes = [[1, 1, 0, 10, 1], [0, 1, 0, 0, 0]]
    for row, key in zip(HAND.canonical(genes).tolist(), HAND.keys(genes).tolist(), strict=True):
        h = 0xCBF29CE484222325
        for gene in row:
            h = ((h ^ ((gene + 0x9E3779B97F4A7C15) % 2**64)) * 0x100000001B3) % 2**64
            h ^= h >> 29
        assert key == h


def test_columns_are_those_of_the_part():
    assert HAND.architecture_fields.tolist() == [0, 1, 2]
    assert HAND.recipe_fields.tolist() == [3, 4]
    assert HAND.architecture_fields.dtype == np.int64
    assert HAND.searches_architecture
    assert HAND.searches_recipe


def test_fix_resolves_conditions():
    assert HAND.fix({"depth": 1}).field("rest").kind == "fixed"
    assert HAND.fix({"depth": 2}).field("rest").conditions == ()
    assert HAND.fix({"depth": 1}).size() == 2 * 22
    assert HAND.fix({"depth": 1, "rest": 5}).size() == 2 * 22
    assert HAND.fix({"rest": 5}).size() == 3 * 2 * 22
    assert HAND.fix({"two": 8}).decode([[0, 0, 0, 0, 0]])[0].architecture["one"] == 8


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"depth": 4}, "depth is 4; it must be 1 to 3 in steps of 1"),
        ({"ema": 1}, "ema is 1; it must be True or False"),
        ({"width": 4}, "hand has no field 'width'; its fields are depth, rest, both, rate, ema"),
        ({"one": 8, "two": 16}, "one is 8, two is 16; they share 'both'"),
    ],
)
def test_fix_refuses_illegal_values(values, message):
    with pytest.raises(UserError, match=message):
        HAND.fix(values)


def test_fix_takes_fields_of_a_recipe_that_the_space_does_not_have():
    tiny = load_space("tiny")
    assert "class_balance" not in tiny.to_dict()["recipe"]
    fixed = tiny.fix({"class_balance": "loss", "color": 0, "resolution": tiny.values("resolution")[0]})
    assert fixed.values("class_balance") == ("loss",)
    assert repr(fixed.values("color")) == "(0.0,)"  # as the recipe has it
    assert fixed.field("resolution").kind == "fixed"
    (candidate,) = fixed.decode(fixed.random(1, 0))
    assert Recipe.of(candidate.recipe).class_balance == "loss"
    assert fixed.fix({"class_balance": "loss"}) == fixed
    with pytest.raises(UserError, match="class_balance is 'both'; it must be 'none', 'sampling' or 'loss'"):
        tiny.fix({"class_balance": "both"})
    with pytest.raises(UserError, match="class_balance is 'none'; it must be 'loss'"):
        fixed.fix({"class_balance": "none"})


def test_only_refuses_incomplete_or_foreign_values():
    with pytest.raises(UserError, match="ema is missing in the recipe; it must be True or False"):
        HAND.only_architecture({"rate": 0.02})
    with pytest.raises(UserError, match="depth does not belong to the recipe"):
        HAND.only_architecture({"depth": 1})
    with pytest.raises(UserError, match="rest is missing in the architecture"):
        HAND.only_recipe({"depth": 2, "one": 8})
    assert HAND.only_recipe({"depth": 1, "one": 8}).size() == 22


def test_override_reopens_fixed_fields_and_keeps_conditions():
    wider = HAND.fix({"depth": 1}).override({"depth": {"range": [1, 5]}})
    assert wider.field("rest").conditions[0].values == (2, 3, 4, 5)
    assert wider.size() == (1 + 4 * 2) * 2 * 22


def test_override_keeps_units_and_sharing_and_sets_bounds():
    space = HAND.override(
        {
            "recipe": {"rate": {"range": [30, 40, 5]}},
            "one": {"choices": [4, 8, 12]},
            "pool": {"macs": ["1M", "2M"]},
        }
    )
    assert space.values("rate") == (0.03, 0.035, 0.04)
    assert space.field("both").fills == ("one", "two")
    assert space.values("two") == (4, 8, 12)
    assert space.pool == {"macs": (1e6, 2e6)}
    assert space.fingerprint() != HAND.fingerprint()


@pytest.mark.parametrize(
    ("fragment", "message"),
    [
        ({"depth": {"range": [3, 1]}}, r"hand: depth.range is \[3, 1\]; lo must not be above hi"),
        ({"rate": [1, 2]}, r"hand: rate is \{'value': \[1, 2\]\}; it must be one value"),
        ({"depht": 1}, "hand has no field 'depht'"),
        ({"recipe": 3}, "recipe is 3; it must be a mapping of fields"),
        ({"budgets": [{"macs": "x"}]}, "budgets.macs is 'x'"),
    ],
)
def test_override_refuses_wrong_fragments(fragment, message):
    with pytest.raises(UserError, match=message):
        HAND.override(fragment)


def test_nested_overrides_reach_stages():
    space = load_space(
        "tiny", {"architecture": {"stage2": {"depth": 1}, "stem": {"channels": 24}}, "ema": True}
    )
    assert space.values("stage2.depth") == (1,)
    assert space.values("stem.channels") == (24,)
    assert space.field("stage2.expansion.rest").kind == "fixed"
    assert space.size() < load_space("tiny").size()


def test_equal_spaces_have_equal_hashes_and_repr_states_the_size():
    assert load_space("tiny") == load_space("tiny")
    assert hash(load_space("tiny")) == hash(load_space("tiny"))
    assert load_space("tiny") != load_space("mobile")
    assert repr(HAND) == "Space('hand', 5 fields, 220 candidates)"


@pytest.mark.parametrize("name", ["fbnetv3", "mobile", "tiny"])
def test_builtin_space_survives_encoding(name):
    space = load_space(name)
    genes = space.sobol(300, 1)
    assert len(set(space.keys(genes).tolist())) == len(set(space.ids(genes))) == 300
    np.testing.assert_array_equal(space.encode(space.decode(genes)), genes)
    np.testing.assert_array_equal(space.from_features(space.features(genes)), genes)


def test_order_of_the_fields_changes_the_fingerprint():
    space = load_space("tiny")
    data = space.to_dict()
    other = Space.from_dict({**data, "recipe": dict(reversed(data["recipe"].items()))})
    assert other != space
    assert other.fingerprint() != space.fingerprint()
