"""Fields find values by equality, candidates are identified by content."""

import hashlib
import json

import numpy as np
import pytest

from narsfast.errors import UserError
from narsfast.space import Candidate, Field, canonical_json

KERNEL = Field("kernel", "architecture", (3, 5), "categorical", ("kernel",))
EMA = Field("ema", "recipe", (True, False), "categorical", ("ema",))
RATE = Field("rate", "recipe", (0.02, 0.021, 0.022), "range", ("rate",))


def test_index_finds_equal_numbers_of_any_type():
    assert [KERNEL.index(5), KERNEL.index(5.0), KERNEL.index(np.int64(5))] == [1, 1, 1]
    assert RATE.index(np.float64(0.022)) == 2
    assert EMA.index(np.bool_(False)) == 1


@pytest.mark.parametrize(
    ("field", "value", "legal"),
    [
        (KERNEL, 4, "3 or 5"),
        (KERNEL, True, "3 or 5"),
        (KERNEL, [3], "3 or 5"),
        (EMA, 1, "True or False"),
        (RATE, 0.0205, "0.02 to 0.022 in steps of 0.001"),
        (
            Field("size", "architecture", tuple(range(8, 33, 8)), "range", ("size",)),
            12,
            "8 to 32 in steps of 8",
        ),
        (
            Field("table", "architecture", tuple(range(50)), "categorical", ("table",)),
            50,
            "19, ... (50 values)",
        ),
        (Field("rate", "recipe", (1e-5, 3e-5, 1e-4), "range", ("rate",)), 2e-5, "1e-05, 3e-05 or 0.0001"),
        (Field("one", "recipe", ("sgd",), "fixed", ("one",)), "adam", "it must be 'sgd'"),
    ],
)
def test_illegal_value_is_refused_with_the_legal_ones(field, value, legal):
    with pytest.raises(UserError) as error:
        field.index(value)
    assert f"{field.name} is {value!r}" in str(error.value)
    assert legal in str(error.value)


def test_id_depends_on_content_only():
    one = Candidate({"a": 1, "b": 2}, {"c": 0.5})
    other = Candidate({"b": 2, "a": 1}, {"c": 0.5})
    assert one.id == other.id
    assert hash(one) == hash(other)
    assert len(one.id) == 16
    assert int(one.id, 16) >= 0
    different = [Candidate({"a": 1, "b": 3}, {"c": 0.5}), Candidate({"a": 1}, {"b": 2, "c": 0.5})]
    assert len({one.id, *(candidate.id for candidate in different)}) == 3


def test_id_is_the_first_16_digits_of_the_sha256_of_the_json():
    text = '{"architecture":{"resolution":64,"stage1.se":true},"recipe":{"ema":false}}'
    candidate = Candidate({"stage1.se": True, "resolution": 64}, {"ema": False})
    assert candidate.id == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_canonical_json_is_compact_sorted_and_strict():
    assert canonical_json({"b": [1, True], "a": 0.1}) == '{"a":0.1,"b":[1,true]}'
    assert json.loads(canonical_json({"x": None})) == {"x": None}
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(float("nan"))
