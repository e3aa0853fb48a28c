"""Names and values of MBConv networks are checked when a space is read."""

import copy

import pytest

from narsfast.errors import UserError
from narsfast.space import Space, architecture_names, load_space

STAGE = {
    "depth": {"range": [1, 3]},
    "channels": 16,
    "stride": 2,
    "se": {"choices": [True, False]},
    "kernel": {"first": {"choices": [3, 5]}, "rest": 3},
    "expansion": {"first": 4, "rest": {"range": [2, 5]}},
}
DATA = {
    "name": "net",
    "architecture": {
        "resolution": 64,
        "stem": {"channels": 16},
        "stages": [STAGE, STAGE],
        "head": {"expansion": 6, "features": 128},
    },
    "recipe": {"dropout": 0, "ema": {"choices": [True, False]}},
}


def test_all_names_of_the_network_are_fields():
    space = Space.from_dict(DATA)
    assert space.stages == 2
    assert sorted(space.decode([[0] * len(space.fields)])[0].architecture) == sorted(
        name for name in architecture_names(2) if not name.endswith("rest")
    )
    assert {name for field in space.fields for name in field.fills} == {
        *architecture_names(2),
        "dropout",
        "ema",
    }


def test_recipe_values_have_the_type_of_the_schema():
    values = Space.from_dict(DATA).values("dropout")
    assert values == (0.0,)
    assert isinstance(values[0], float)


def changed(path, value):
    data = copy.deepcopy(DATA)
    *parents, last = path
    target = data
    for key in parents:
        target = target[key]
    if value is None:
        del target[last]
    else:
        target[last] = value
    return data


ARCH, FIRST = ["architecture"], ["architecture", "stages", 0]


@pytest.mark.parametrize(
    ("path", "value", "where", "remedy"),
    [
        ([*ARCH, "resolution"], {"choices": [64, 4]}, "resolution is 4", "pixels from 8 to 4096"),
        ([*ARCH, "resolution"], 64.0, "resolution is 64.0", "pixels from 8 to 4096"),
        ([*ARCH, "stem", "channels"], 0, "stem.channels is 0", "at least 1"),
        ([*ARCH, "head", "features"], "many", "head.features is 'many'", "at least 1"),
        ([*ARCH, "head", "expansion"], 0, "head.expansion is 0", "from 1 to 64"),
        ([*ARCH, "act"], "gelu", "act is 'gelu'", "one of hard_swish, relu, relu6, silu"),
        ([*ARCH, "padding"], {"choices": ["half", "same"]}, "padding is {'choices'", "one value"),
        ([*ARCH, "norm_eps"], 0, "norm_eps is 0", "between 0 and 1"),
        ([*ARCH, "head", "hidden"], 64, "head.hidden is 64 beside head.expansion", "give one"),
        ([*FIRST, "kind"], "conv", "stage1.kind is 'conv'", "one of mbconv, fused"),
        ([*FIRST, "start_kernel"], 2, "stage1.start_kernel is 2", "odd whole number, or 0"),
        ([*FIRST, "se_width"], "input", "stage1.se_width is 'input'", "a width such as 24"),
        ([*FIRST, "depth"], {"range": [0, 3]}, "stage1.depth is 0", "blocks from 1 to 64"),
        ([*FIRST, "channels"], True, "stage1.channels is True", "at least 1"),
        ([*FIRST, "stride"], 3, "stage1.stride is 3", "1 or 2"),
        ([*FIRST, "se"], 1, "stage1.se is 1", "true or false"),
        ([*FIRST, "kernel", "first"], {"choices": [3, 4]}, "stage1.kernel.first is 4", "odd whole number"),
        ([*FIRST, "kernel", "rest"], {"range": [3, 5], "unit": 1.0}, "stage1.kernel.rest is 3.0", "odd"),
        ([*FIRST, "expansion", "rest"], 1.5, "stage1.expansion.rest is 1.5", "from 1 to 64"),
        ([*FIRST, "kernel", "rest"], None, "stage1.kernel.rest is missing", "one value, {choices"),
        ([*FIRST, "stride"], None, "stage1.stride is missing", "one value, {choices"),
        ([*ARCH, "head", "features"], None, "head.features is missing", "one value, {choices"),
        ([*FIRST, "strides"], 2, "stage1.strides is 2", "stage1.depth, stage1.stride, stage1.se"),
        ([*FIRST, "kernel"], {"choices": [3, 5]}, "stage1.kernel is {'choices'", "stage1.kernel.first"),
        ([*ARCH, "width"], 2, "width is 2", "resolution, stem.channels"),
        ([*ARCH, "stage3"], {"depth": 2}, "stage3.depth is 2", "those of stage1 to stage2"),
        (
            [*FIRST, "channels"],
            {"value": 8, "when": {"stage1.depth": 1}},
            "stage1.channels.when is {'stage1.depth': 1}",
            "leave it out",
        ),
        (["recipe", "dropout"], {"range": [0, 2], "unit": 0.5}, "recipe.dropout is 1.0", "below 1"),
        (["recipe", "optimizer"], "adam", "recipe.optimizer is 'adam'", "'rmsprop', 'sgd',"),
        (["recipe", "epochs"], 5, "epochs is 5", "its fields are optimizer, learning_rate"),
    ],
)
def test_wrong_network_is_refused_with_field_value_and_remedy(path, value, where, remedy):
    with pytest.raises(UserError) as error:
        Space.from_dict(changed(path, value))
    assert str(error.value).startswith(f"net: {where}")
    assert remedy in str(error.value)
    assert "\n" not in str(error.value)


def test_recipe_without_network_may_have_any_fields():
    assert Space.from_dict({"name": "table", "recipe": {"epochs": {"choices": [10, 50]}}}).size() == 2


def test_rest_fields_are_active_from_depth_two():
    space = load_space("tiny")
    depth, rest = space.column("stage2.depth"), space.column("stage2.kernel.rest")
    genes = space.random(200, 0)
    assert (space.active(genes)[:, rest] == (genes[:, depth] > 0)).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"start_kernel": {"choices": [0, 3]}}, "stage1.start_kernel is 3; fused blocks have none"),
        ({"expansion": {"first": 1, "rest": 4}}, "stage1.se is true; fused blocks of expansion 1 have none"),
    ],
)
def test_fused_stage_refuses_what_its_blocks_cannot_have(changes, words):
    data = copy.deepcopy(DATA)
    data["architecture"]["stages"][0] |= {"kind": "fused"} | changes
    with pytest.raises(UserError, match=words):
        Space.from_dict(data)
