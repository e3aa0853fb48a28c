import pytest

from narsfast.common.parse_json import parse_json
from narsfast.errors import UserError


def test_json_is_parsed():
    assert parse_json('{"a": [1, 2.5]}', "it") == {"a": [1, 2.5]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", r"it is not valid JSON \(.*\); write it"),
        ("", r"it is not valid JSON \(.*\); write it"),
        ("9" * 5000, r"it is not valid JSON \(Exceeds the limit .*\); write it"),
        ("[" * 100_000, r"it is not valid JSON \(it is nested too deeply\); write it"),
    ],
)
def test_what_is_no_json_is_one_sentence(text, said):
    with pytest.raises(UserError, match=said):
        parse_json(text, "it", "write it anew")
