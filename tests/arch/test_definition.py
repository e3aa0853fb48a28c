import json

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


def test_json_and_dict_give_an_equal_definition():
    for definition in [*zoo().values(), Definition.from_dict(TINY)]:
        assert Definition.from_json(definition.to_json()) == definition
        assert Definition.from_dict(definition.to_dict()) == definition


def test_to_dict_equals_the_input():
    assert Definition.from_dict(TINY).to_dict() == TINY


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
