"""The forms that a space file accepts, and the messages for everything else."""

import json

import pytest

from narsfast.errors import UserError
from narsfast.space import Space


def flat(**fields):
    return {"name": "s", "architecture": fields}


@pytest.mark.parametrize(
    ("spec", "kind", "values"),
    [
        (3, "fixed", (3,)),
        (True, "fixed", (True,)),
        ("conv", "fixed", ("conv",)),
        ({"value": 0.5}, "fixed", (0.5,)),
        ({"choices": [3, 5]}, "categorical", (3, 5)),
        ({"choices": [True, False]}, "categorical", (True, False)),
        ({"choices": ["b", "a"]}, "categorical", ("b", "a")),
        ({"choices": [7]}, "fixed", (7,)),
        ({"range": [1, 4]}, "range", (1, 2, 3, 4)),
        ({"range": [8, 24, 8]}, "range", (8, 16, 24)),
        ({"range": [-2, 2, 2]}, "range", (-2, 0, 2)),
        ({"range": [5, 5]}, "fixed", (5,)),
        ({"range": [20, 23], "unit": 0.001}, "range", (0.02, 0.021, 0.022, 0.023)),
        ({"range": [7, 9], "unit": 1e-6}, "range", (7e-06, 8e-06, 9e-06)),
        ({"range": [0, 1], "unit": 2}, "range", (0.0, 2.0)),
        ({"log": [0.001, 0.1, 5]}, "range", (0.001, 0.00316, 0.01, 0.0316, 0.1)),
        ({"log": [1, 4, 3]}, "range", (1.0, 2.0, 4.0)),
        ({"log": [1e-5, 1e-3, 2]}, "range", (1e-5, 1e-3)),
    ],
)
def test_spec_gives_kind_and_values(spec, kind, values):
    space = Space.from_dict(flat(x=spec))
    field = space.field("x")
    assert (field.kind, field.values) == (kind, values)
    assert [type(value) for value in field.values] == [type(value) for value in values]
    assert Space.from_dict(json.loads(json.dumps(space.to_dict()))) == space


@pytest.mark.parametrize(
    ("spec", "where", "remedy"),
    [
        (None, "x is None", "one value, {choices: [...]}, {range: [lo, hi, step]} or {log: [lo, hi, count]}"),
        ([1, 2], "x is [1, 2]", "one value, {choices: [...]}"),
        ({}, "x is {}", "one value"),
        ({"value": [1]}, "x is {'value': [1]}", "one value"),
        ({"choices": [1, 2], "range": [1, 2]}, "x is {'choices'", "one value"),
        (float("inf"), "x is inf", "one value"),
        ({"choices": []}, "x.choices is []", "a list of plain values"),
        ({"choices": [[1], [2]]}, "x.choices is [[1], [2]]", "a list of plain values"),
        ({"choices": [3, 5, 3]}, "x.choices is [3, 5, 3]", "must differ"),
        ({"choices": [1, True]}, "x.choices is [1, True]", "must differ"),
        ({"choices": 3}, "x.choices is 3", "a list of different values"),
        ({"range": [1]}, "x.range is [1]", "[lo, hi] or [lo, hi, step]"),
        ({"range": [1, 2, 3, 4]}, "x.range is [1, 2, 3, 4]", "[lo, hi] or [lo, hi, step]"),
        ({"range": "1-4"}, "x.range is '1-4'", "[lo, hi] or [lo, hi, step]"),
        ({"range": [0.1, 0.3]}, "x.range is [0.1, 0.3]", "in whole numbers"),
        ({"range": [1, True]}, "x.range is [1, True]", "in whole numbers"),
        ({"range": [4, 1]}, "x.range is [4, 1]", "lo must not be above hi"),
        ({"range": [8, 24, 0]}, "x.range is [8, 24, 0]", "step must be at least 1"),
        ({"range": [8, 30, 8]}, "x.range is [8, 30, 8]", "use 24 or 32"),
        ({"range": [1, 4], "unit": 0}, "x.unit is 0", "a number above 0"),
        ({"log": [0.1, 1]}, "x.log is [0.1, 1]", "[lo, hi, count] with 0 < lo < hi"),
        ({"log": [0, 1, 3]}, "x.log is [0, 1, 3]", "with 0 < lo < hi"),
        ({"log": [1, 1, 3]}, "x.log is [1, 1, 3]", "with 0 < lo < hi"),
        ({"log": [1, "ten", 3]}, "x.log is [1, 'ten', 3]", "such as [0.001, 0.1, 5]"),
        ({"log": [1, 10, 1]}, "x.log is [1, 10, 1]", "a count of at least 2"),
        ({"log": [1, 10, 2.5]}, "x.log is [1, 10, 2.5]", "a count of at least 2"),
        ({"log": [1, 1.01, 50]}, "x.log is [1, 1.01, 50]", "its 50 values agree in 3 digits; use fewer"),
        ({"log": [1, 10, 3], "unit": 0.1}, "x is {'log'", "unit goes with range only"),
        ({"range": [1, 4], "unit": "milli"}, "x.unit is 'milli'", "a number above 0"),
        ({"choices": [1, 4], "unit": 0.1}, "x is {'choices'", "unit goes with range only"),
        (
            {"range": [1, 4], "stp": 2},
            "x.stp is 2",
            "the keys are value, choices, range, unit, log, share, when",
        ),
        ({"value": 1, "share": 5}, "x.share is 5", "the name of a sharing group"),
        ({"value": 1, "when": "y"}, "x.when is 'y'", "a mapping from another field"),
        ({"value": 1, "when": {"y": []}}, "x.when is {'y': []}", "y must have a value"),
        ({"value": 1, "when": {"y": {"z": 1}}}, "x.when is {'y'", "y must have a value"),
    ],
)
def test_wrong_spec_is_refused_with_field_value_and_remedy(spec, where, remedy):
    for data in (flat(x=spec, y=1), {"name": "s", "recipe": {"x": spec, "y": 1}}):
        with pytest.raises(UserError) as error:
            Space.from_dict(data)
        sentence = str(error.value)
        assert sentence.startswith(f"s: {where}")
        assert remedy in sentence
        assert "\n" not in sentence


@pytest.mark.parametrize(
    ("data", "where", "remedy"),
    [
        ({"architecture": {}}, "name is missing", "the name of the space"),
        ({"name": 5}, "name is 5", "a string"),
        ({"name": ""}, "name is ''", "a string"),
        ({"name": "s", "architecture": [1]}, "architecture is [1]", "a mapping of fields"),
        ({"name": "s", "recipe": None}, "recipe is None", "a mapping of fields"),
        ({"name": "s", "architecture": {"stages": {}}}, "architecture.stages is {}", "a list of stages"),
        ({"name": "s", "architecture": {"stages": []}}, "architecture.stages is []", "a list of stages"),
        ({"name": "s", "stages": "two"}, "stages is 'two'", "the number of stages"),
        (
            {"name": "s", "epochs": 3},
            "epochs is 3",
            "the keys are name, stages, parents, architecture, recipe, pool",
        ),
        ({"name": "s", "pool": 5}, "pool is 5", "{macs: [0.5M, 10M]}"),
        ({"name": "s", "pool": {"macs": "5X"}}, "pool.macs is '5X'", "2M, 0.5G or 512KB"),
        ({"name": "s", "pool": {"macs": [5, 1]}}, "pool.macs is [5, 1]", "lo must not be above hi"),
        ({"name": "s", "pool": {"macs": [1, 2, 3]}}, "pool.macs is [1, 2, 3]", "two, [lo, hi]"),
        ({"name": "s", "budgets": {"macs": 1}}, "budgets is {'macs': 1}", "[{macs: 1M}, {macs: 2M}]"),
        ({"name": "s", "budgets": [{"macs": -1}]}, "budgets.macs is -1", "a number of at least 0"),
        (
            {"name": "s", "architecture": {"x": 1}, "recipe": {"x": 2}},
            "x is 2 in the recipe",
            "rename one of them",
        ),
    ],
)
def test_wrong_document_is_refused_with_field_value_and_remedy(data, where, remedy):
    with pytest.raises(UserError) as error:
        Space.from_dict(data)
    assert where in str(error.value)
    assert remedy in str(error.value)
    assert "\n" not in str(error.value)


def test_long_value_is_shortened_in_the_message():
    with pytest.raises(UserError, match=r"x is \[0, 1, 2, .*\.\.\.; it must be"):
        Space.from_dict(flat(x=list(range(100))))


def test_bounds_are_parsed_as_amounts():
    space = Space.from_dict(
        {"name": "s", "pool": {"macs": ["0.5M", "10M"], "peak_memory": "512KB"}, "budgets": [{"macs": "1M"}]}
    )
    assert space.pool == {"macs": (5e5, 1e7), "peak_memory": (0, 512_000)}
    assert space.budgets == ({"macs": (0, 1e6)},)


def test_nested_and_dotted_names_give_equal_spaces():
    nested = {"stem": {"channels": {"choices": [8, 16]}}, "cell": {"a": {"b": 1}}}
    dotted = {"stem.channels": {"choices": [8, 16]}, "cell.a.b": 1}
    assert Space.from_dict(flat(**nested)) == Space.from_dict(flat(**dotted))
