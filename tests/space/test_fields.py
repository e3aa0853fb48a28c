"""Classes of fields give the same spaces as files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narsfast.errors import UserError
from narsfast.space import Categorical, Fixed, IntRange, Space, load_space


def test_fields_give_the_space_of_an_equal_file():
    written = Space.from_dict(
        {
            "name": "own",
            "architecture": {"width": {"range": [8, 32, 8]}, "act": {"choices": ["relu", "tanh"]}},
            "recipe": {
                "rate": {"range": [1, 8, 1], "unit": 0.001},
                "decay": {"choices": [0.0, 0.1], "when": {"rate": "> 0.004"}},
                "epochs": 3,
            },
            "budgets": [{"params": 1000}],
        }
    )
    built = Space(
        "own",
        architecture={"width": IntRange(8, 32, 8), "act": Categorical(["relu", "tanh"])},
        recipe={
            "rate": IntRange(1, 8, unit=0.001),
            "decay": Categorical([0.0, 0.1], when={"rate": "> 0.004"}),
            "epochs": Fixed(3),
        },
        budgets=[{"params": 1000}],
    )
    assert built == written
    assert built.fingerprint() == written.fingerprint()


def test_fields_override_those_of_a_built_in_space():
    changed = load_space("tiny").override({"batch_size": Categorical([32, 64]), "ema": Fixed(value=True)})
    assert changed.values("batch_size") == (32, 64)
    assert changed.field("ema").kind == "fixed"


def test_fields_share_one_value():
    shared = Space("s", architecture={n: Categorical([1, 2], share="both") for n in ("a", "b")})
    assert [field.fills for field in shared.fields] == [("a", "b")]


def test_wrong_field_is_refused_by_name():
    with pytest.raises(UserError, match=r"s: width.range is \[9, 8, 1\]; lo must not be above hi"):
        Space("s", architecture={"width": IntRange(9, 8)})
    with pytest.raises(UserError, match="when names 'nothing'"):
        Space("s", architecture={"width": Categorical([1, 2], when={"nothing": 1})})


@given(low=st.integers(-50, 50), count=st.integers(1, 20), step=st.integers(1, 9))
def test_int_range_has_every_step(low, count, step):
    space = Space("s", architecture={"n": IntRange(low, low + step * (count - 1), step)})
    assert space.values("n") == tuple(range(low, low + step * count, step))
