import pytest

from narsfast.errors import UserError
from narsfast.space import parse_quantity


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0.5M", 5e5),
        ("50 m", 5e7),
        ("1.5G", 1.5e9),
        ("3k", 3000),
        (".5K", 500),
        ("1e6", 1e6),
        ("12", 12),
        (7, 7),
        (2.5, 2.5),
        ("512KB", 512_000),
        ("1MB", 1e6),
        ("1GB", 1e9),
        ("8B", 8),
        (0, 0),
    ],
)
def test_amount_is_parsed_to_float(text, amount):
    assert parse_quantity(text) == amount
    assert isinstance(parse_quantity(text), float)


@pytest.mark.parametrize(
    "text", ["5T", "M", "", "1M2", "-3M", -1, True, None, [1], float("nan"), float("inf")]
)
def test_anything_else_is_refused_by_name(text):
    with pytest.raises(UserError) as error:
        parse_quantity(text, "macs")
    assert f"macs is {text!r}; it must be a number" in str(error.value)
