import json
import re
from pathlib import Path

import pytest

from narsfast.arch import Definition, Row, check_padding, read_definition, resolve_definition, zoo
from narsfast.errors import UserError

TINY = {
    "name": "small",
    "resolution": 32,
    "stem_channels": 8,
    "stages": [[[3, 1, 8, 1, 1, False, None]], [[5, 4, 16, 2, 1, True, 1], [3, 2, 16, 1, 2, True, None]]],
    "head_expansion": 6,
    "head_features": 64,
}


def object_row(**changes):
    """Return a change to a definition whose only row is an object."""
    row = {"kernel": 3, "expansion": 4, "channels": 8} | changes
    return {"stages": [[{name: value for name, value in row.items() if value is not None}]]}


def test_json_and_dict_give_an_equal_definition():
    for definition in [*zoo().values(), Definition.from_dict(TINY)]:
        assert Definition.from_json(definition.to_json()) == definition
        assert Definition.from_dict(definition.to_dict()) == definition


def test_to_dict_equals_the_input():
    assert Definition.from_dict(TINY).to_dict() == TINY


def test_plain_definition_is_written_as_it_always_was():
    assert (
        Definition.from_dict(TINY).to_json()
        == """{
  "name": "small",
  "resolution": 32,
  "stem_channels": 8,
  "stages": [
    [[3, 1, 8, 1, 1, false, null]],
    [[5, 4, 16, 2, 1, true, 1], [3, 2, 16, 1, 2, true, null]]
  ],
  "head_expansion": 6,
  "head_features": 64
}
"""
    )


def test_object_that_says_no_more_than_a_list_becomes_one():
    definition = Definition.from_dict(TINY | object_row(se=True))
    assert definition.to_dict()["stages"] == [[[3, 4, 8, 1, 1, True, None]]]


def test_definitions_of_the_guide_are_written_as_they_stand_there():
    blocks = re.findall(r"```json\n(.*?)```", Path("docs/definitions.md").read_text(), re.S)
    assert len(blocks) == 2
    for block in blocks:
        assert Definition.from_json(block).to_dict() == json.loads(block)


def test_rows_are_named_and_flat():
    rows = Definition.from_dict(TINY).rows
    assert rows[1] == Row(kernel=5, expansion=4, channels=16, stride=2, repeats=1, se=True, padding=1)
    assert len(rows) == 3


def test_resolve_definition_accepts_every_source(tmp_path):
    definition = Definition.from_dict(TINY)
    path = tmp_path / "small.json"
    path.write_text(definition.to_json())
    assert read_definition(path) == definition
    for source in (definition, TINY, path, str(path)):
        assert resolve_definition(source) == definition


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"resolution": 0}, ["resolution", "0", "greater than 0"]),
        ({"resolution": 32.5}, ["resolution", "32.5", "integer"]),
        ({"width": 3}, ["width", "unknown", "stem_channels"]),
        ({"stages": [[[4, 1, 8, 1, 1, False, None]]]}, ["stages[0][0].kernel", "4", "odd"]),
        ({"stages": [[[3, 1, 8, 3, 1, False, None]]]}, ["stages[0][0].stride", "3", "1 or 2"]),
        ({"stages": [[[3, 1, 8, 1, 0, False, None]]]}, ["stages[0][0].repeats", "0"]),
        ({"stages": [[[3, 1, 8, 1, 1, "maybe", None]]]}, ["stages[0][0].se", "maybe"]),
        ({"stages": [[[3, 1, 8, 1, 1, True, -1]]]}, ["stages[0][0].padding", "-1"]),
        ({"act": "gelu"}, ["act", "'gelu'", "'hard_swish', 'relu', 'relu6' or 'silu'"]),
        ({"padding": "valid"}, ["padding", "'valid'", "'half' or 'same'"]),
        ({"norm_eps": 0}, ["norm_eps", "0", "greater than 0"]),
        ({"se_width": "input"}, ["se_width", "'input'", "input/4"]),
        ({"head_hidden": 64}, ["head_expansion and head_hidden", "both given"]),
        ({"head_features": None, "head_bias": True}, ["head_bias", "head_features is null"]),
        ({"stages": [[[3, 1, 8, 1, 1, False, None, 64]]]}, ["stages[0][0]", "7 values", "object"]),
        ({"stages": [[[3, 1, 8, 1, 1]]]}, ["stages[0][0].se", "missing"]),
        (object_row(channels=None), ["stages[0][0].channels", "missing"]),
        (object_row(width=3), ["stages[0][0].width", "unknown", "start_kernel"]),
        (object_row(kind="dense"), ["stages[0][0].kind", "'dense'", "'mbconv', 'fused' or 'conv'"]),
        (object_row(expansion=None), ["row 0", "expansion and hidden", "both missing"]),
        (object_row(hidden=16), ["row 0", "expansion and hidden", "both given"]),
        (object_row(kind="conv"), ["row 0", "expansion is 4", "conv"]),
        (object_row(kind="conv", expansion=None, hidden=8), ["row 0", "hidden is 8", "conv"]),
        (object_row(kind="conv", expansion=None, se=True), ["row 0", "se is true", "conv"]),
        (object_row(kind="fused", kernel=0), ["row 0", "kernel is 0", "fused"]),
        (object_row(kind="fused", start_kernel=3), ["row 0", "start_kernel is 3", "fused"]),
        (object_row(kind="fused", expansion=1, se=True), ["row 0", "se is true", "stays 8"]),
        (object_row(kernel=2), ["stages[0][0].kernel", "2", "odd"]),
        (object_row(kernel=0, se=True), ["row 0", "kernel 0", "squeeze-excite"]),
        (object_row(kernel=0, padding=1), ["row 0", "padding is 1", "kernel 0"]),
        (object_row(kernel=0, stride=2), ["row 0", "stride is 2", "start_kernel"]),
        (object_row(kernel=0, expansion=1), ["row 0", "kernel is 0", "stays 8"]),
        (object_row(start_kernel=4), ["stages[0][0].start_kernel", "4", "odd"]),
        ({"resolution": 4, "stages": [[[5, 1, 8, 2, 1, True, 0]]]}, ["row 0", "2x2", "padding 0"]),
    ],
)
def test_wrong_fields_are_refused_with_field_and_value(change, words):
    with pytest.raises(UserError) as error:
        Definition.from_dict(TINY | change)
    for word in words:
        assert word in str(error.value)


def test_missing_field_is_refused_by_name():
    without = {key: value for key, value in TINY.items() if key != "stem_channels"}
    with pytest.raises(UserError, match="stem_channels of definition 'small' is missing"):
        Definition.from_dict(without)


@pytest.mark.parametrize("text", ["{", "[1, 2]", json.dumps({"name": "x"})])
def test_from_json_refuses_other_text(text):
    with pytest.raises(UserError):
        Definition.from_json(text)


def test_unreadable_file_is_refused_by_name(tmp_path):
    with pytest.raises(UserError, match=r"absent\.json"):
        read_definition(tmp_path / "absent.json")


def test_resolve_definition_refuses_other_types():
    with pytest.raises(UserError, match="3"):
        resolve_definition(3)


def test_check_padding_knows_both_modes():
    assert check_padding("half") == "half"
    with pytest.raises(UserError, match=r"'same'.*published, half"):
        check_padding("same")
