import pytest

from narsfast.common.parse_json import parse_json
from narsfast.errors import UserError


def test_json_is_parsed():
    assert parse_json('{"a": [1, 2.5]}', "it") == {"a": [1, 2.5]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "it is not JSON"),
        ("", "it is not JSON"),
        ("9" * 5000, "it is not JSON: Exceeds the limit"),
        ("[" * 100_000, "it is not readable as JSON: it is nested too deeply"),
    ],
)
def test_what_is_no_json_is_one_sentence(text, said):
    with pytest.raises(UserError, match=said):
        parse_json(text, "it")
