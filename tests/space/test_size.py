"""Sizes counted by hand; test_properties.py compares random spaces with enumeration."""

import pytest

from narsfast.space import Space


def space(architecture=None, recipe=None):
    return Space.from_dict({"name": "s", "architecture": architecture or {}, "recipe": recipe or {}})


def test_sizes_of_independent_fields_multiply():
    assert space({"a": {"choices": [1, 2, 3]}, "b": {"range": [0, 8, 2]}, "c": 7}).size() == 15


def test_empty_space_has_one_candidate():
    assert space().size() == 1


def test_conditional_field_multiplies_only_where_it_is_active():
    # a = 1: b is inactive; a = 2 or 3: five values of b
    assert (
        space({"a": {"choices": [1, 2, 3]}, "b": {"range": [1, 5], "when": {"a": "> 1"}}}).size() == 1 + 2 * 5
    )


def test_chained_conditions_are_counted_exactly():
    chain = {
        "a": {"choices": [0, 1]},
        "b": {"choices": [0, 1], "when": {"a": 1}},
        "c": {"choices": [1, 2, 3], "when": {"b": 0}},
    }
    # a = 0: one, as b's value 0 activates c only while b itself is active; a = 1: three with b = 0, one with 1
    assert space(chain).size() == 1 + (3 + 1)


def test_field_is_active_with_any_of_its_parents():
    # 4 pairs of parents, one of them inactive
    either = {"choices": [1, 2, 3], "when": {"a": 1, "b": 1}}
    assert space({"a": {"choices": [0, 1]}, "b": {"choices": [0, 1]}, "c": either}).size() == 1 + 3 * 3


def test_shared_fields_count_once():
    shared = {"choices": [3, 5, 7], "share": "k"}
    assert space({"a": shared, "b": shared, "c": {"choices": [1, 2]}}).size() == 6


def test_recipe_field_can_depend_on_recipe_and_architecture():
    recipe = {"opt": {"choices": ["x", "y"]}, "m": {"choices": [1, 2, 3], "when": {"opt": "x", "big": True}}}
    assert space({"big": {"choices": [False, True]}}, recipe).size() == 3 + 1 + 3 + 3


@pytest.mark.parametrize("parents_first", [True, False])
def test_forty_independent_parents_are_counted_in_any_order(parents_first):
    parents = {f"p{i}": {"choices": [0, 1]} for i in range(40)}
    children = {f"c{i}": {"choices": [1, 2], "when": {f"p{i}": 1}} for i in range(40)}
    assert space(parents | children if parents_first else children | parents).size() == 3**40
