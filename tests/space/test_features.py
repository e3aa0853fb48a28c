import numpy as np
import pytest

from narsfast.space import Space

SPACE = Space.from_dict(
    {
        "name": "s",
        "architecture": {
            "width": {"range": [8, 40, 8]},
            "op": {"choices": ["a", "b", "c"]},
            "extra": {"choices": [1, 2], "when": {"op": "b"}},
            "more": {"range": [1, 3], "when": {"op": ["b", "c"]}},
            "fixed": 3,
        },
        "recipe": {"rate": {"range": [1, 3], "unit": 0.1}, "ema": {"choices": [True, False]}},
    }
)
GENES = [[0, 0, 0, 0, 0, 2, 1], [1, 1, 0, 0, 0, 0, 0], [4, 1, 1, 2, 0, 1, 0], [2, 2, 0, 1, 0, 2, 0]]
FEATURES = [
    [0.00, 1, 0, 0, 0, 0, 0.0, 1.0, 0, 1],
    [0.25, 0, 1, 0, 1, 0, 0.0, 0.0, 1, 0],
    [1.00, 0, 1, 0, 0, 1, 1.0, 0.5, 1, 0],
    [0.50, 0, 0, 1, 0, 0, 0.5, 1.0, 1, 0],
]


def test_one_hot_min_max_and_zeros():
    features = SPACE.features(GENES)
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features, np.array(FEATURES, np.float32))


def test_parts_are_the_columns_of_the_whole():
    np.testing.assert_array_equal(
        SPACE.features(GENES, "architecture"), np.array(FEATURES, np.float32)[:, :7]
    )
    np.testing.assert_array_equal(SPACE.features(GENES, "recipe"), np.array(FEATURES, np.float32)[:, 7:])


def test_names_of_the_columns():
    architecture = ["width", "op=a", "op=b", "op=c", "extra=1", "extra=2", "more"]
    assert SPACE.feature_names("architecture") == architecture
    assert SPACE.feature_names() == [*architecture, "rate", "ema=True", "ema=False"]


def test_the_inverse_is_exact():
    np.testing.assert_array_equal(SPACE.from_features(FEATURES), GENES)


def test_long_ranges_survive_float32():
    space = Space.from_dict({"name": "s", "architecture": {"x": {"range": [1, 32767]}}})
    genes = np.arange(32767, dtype=np.int16)[:, None]
    np.testing.assert_array_equal(space.from_features(space.features(genes)), genes)


def test_a_space_without_choice_has_no_columns():
    assert SPACE.fix({"rate": 0.1, "ema": True}).features([[0] * 7], "recipe").shape == (1, 0)


def test_a_wrong_shape_is_refused():
    with pytest.raises(ValueError, match=r"features have shape \(1, 3\); s needs \(n, 10\)"):
        SPACE.from_features([[0, 0, 0]])
