"""Sharing groups, conditions and the order of the columns."""

import pytest

from narsfast.errors import UserError
from narsfast.space import Condition, Space, load_space


def space(architecture, recipe=None):
    return Space.from_dict({"name": "s", "architecture": architecture, "recipe": recipe or {}})


def test_shared_fields_become_one_column():
    group = {"choices": [3, 5], "share": "k"}
    built = space({"a": group, "b": {"range": [1, 2]}, "c": group})
    assert [(field.name, field.fills) for field in built.fields] == [("k", ("a", "c")), ("b", ("b",))]
    assert built.column("a") == built.column("c") == built.column("k") == 0


def test_shared_field_is_active_when_any_of_its_names_is():
    group = {"choices": [3, 5], "share": "k"}
    built = space(
        {
            "x": {"choices": [1, 2]},
            "y": {"choices": [1, 2]},
            "a": group | {"when": {"x": 2}},
            "b": group | {"when": {"y": 2}},
        }
    )
    assert built.field("k").conditions == (Condition("x", (2,)), Condition("y", (2,)))
    unconditional = space({"x": {"choices": [1, 2]}, "a": group | {"when": {"x": 2}}, "b": group})
    assert unconditional.field("k").conditions == ()


@pytest.mark.parametrize(
    ("when", "values"),
    [
        ({"p": 2}, (2,)),
        ({"p": [3, 1]}, (1, 3)),
        ({"p": "> 2"}, (3, 4)),
        ({"p": ">=2"}, (2, 3, 4)),
        ({"p": "< 2.5"}, (1, 2)),
        ({"p": "<= 1"}, (1,)),
    ],
)
def test_when_accepts_value_list_and_comparison(when, values):
    built = space({"p": {"range": [1, 4]}, "x": {"choices": [0, 1], "when": when}})
    assert built.field("x").conditions == (Condition("p", values),)


def test_parents_precede_dependents_and_architecture_precedes_recipe():
    built = space(
        {"x": {"choices": [0, 1], "when": {"y": 1}}, "y": {"choices": [0, 1]}, "z": 1},
        {"r": {"choices": [0, 1], "when": {"x": 1}}},
    )
    assert [field.name for field in built.fields] == ["y", "x", "z", "r"]


def test_condition_that_always_holds_is_dropped():
    assert load_space("fbnetv3").field("stage2.kernel.rest").conditions == ()
    assert load_space("fbnetv3").field("stage1.kernel.rest").conditions == (
        Condition("stage1.depth", (2, 3, 4)),
    )


def test_condition_that_never_holds_is_dropped():
    built = space(
        {"p": 1, "q": {"choices": [0, 1]}, "x": {"choices": [5, 6], "when": {"p": "> 1", "q": 1}}},
    )
    assert built.field("x").conditions == (Condition("q", (1,)),)


def test_field_that_is_never_active_is_fixed():
    built = space(
        {"p": 1, "x": {"choices": [5, 6], "when": {"p": "> 1"}}, "y": {"choices": [7, 8], "when": {"x": 5}}}
    )
    for name, value in [("x", 5), ("y", 7)]:
        assert built.field(name).values == (value,)
        assert built.field(name).kind == "fixed"
        assert not built.active([[0, 0, 0]])[0, built.column(name)]
    assert built.size() == 1
    assert built.decode([[0, 0, 0]])[0].architecture == {"p": 1}
    assert not built.searches_architecture


@pytest.mark.parametrize(
    ("architecture", "recipe", "where", "remedy"),
    [
        (
            {"a": {"choices": [3, 5], "share": "k"}, "b": {"choices": [3, 7], "share": "k"}},
            {},
            "b is {'choices': [3, 7], 'share': 'k'}",
            "the same values, {'choices': [3, 5], 'share': 'k'}",
        ),
        ({"a": {"value": 1, "share": "b"}, "b": 1}, {}, "a.share is 'b'", "choose another group name"),
        (
            {"a": {"value": 1, "share": "k"}},
            {"b": {"value": 1, "share": "k"}},
            "b.share is 'k'",
            "architecture and recipe cannot share",
        ),
        (
            {"p": 1, "x": {"value": 1, "when": {"q": 1}}},
            {},
            "x.when names 'q'",
            "it must name another field: p",
        ),
        (
            {"p": 1, "x": {"value": 1, "when": {"x": 1}}},
            {},
            "x.when names 'x'",
            "it must name another field: p",
        ),
        (
            {"x": {"value": 1, "when": {"r": 1}}},
            {"r": 1},
            "x.when names 'r'",
            "an architecture field cannot depend on the recipe",
        ),
        (
            {"p": {"range": [1, 65]}, "x": {"value": 1, "when": {"p": 1}}},
            {},
            "x.when names 'p', which has 65 values",
            "at most 64",
        ),
        (
            {"x": {"value": 1, "when": {"y": 1}}, "y": {"value": 1, "when": {"x": 1}}},
            {},
            "the when entries of x, y form a cycle",
            "remove one of them",
        ),
        ({"x": {"range": [0, 40000]}}, {}, "it has 40,001 values", "at most 32,767"),
        ({"x": {"choices": [*range(40001)]}}, {}, "x has 40,001 values", "at most 32,767"),
    ],
)
def test_contradictory_fields_are_refused(architecture, recipe, where, remedy):
    with pytest.raises(UserError) as error:
        space(architecture, recipe)
    assert where in str(error.value)
    assert remedy in str(error.value)


def test_parent_may_have_64_values():
    built = space({"p": {"range": [1, 64]}, "x": {"choices": [0, 1], "when": {"p": 64}}})
    assert built.size() == 63 + 2
    assert built.canonical([[62, 1], [63, 1]]).tolist() == [[62, 0], [63, 1]]
