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


def test_features_are_one_hot_min_max_and_zero_where_inactive():
    features = SPACE.features(GENES)
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features, np.array(FEATURES, np.float32))


def test_features_of_a_part_are_its_columns():
    np.testing.assert_array_equal(
        SPACE.features(GENES, "architecture"), np.array(FEATURES, np.float32)[:, :7]
    )
    np.testing.assert_array_equal(SPACE.features(GENES, "recipe"), np.array(FEATURES, np.float32)[:, 7:])


def test_feature_names_match_the_columns():
    architecture = ["width", "op=a", "op=b", "op=c", "extra=1", "extra=2", "more"]
    assert SPACE.feature_names("architecture") == architecture
    assert SPACE.feature_names() == [*architecture, "rate", "ema=True", "ema=False"]


def test_from_features_inverts_features_exactly():
    np.testing.assert_array_equal(SPACE.from_features(FEATURES), GENES)


def test_long_range_survives_float32():
    space = Space.from_dict({"name": "s", "architecture": {"x": {"range": [1, 32767]}}})
    genes = np.arange(32767, dtype=np.int16)[:, None]
    np.testing.assert_array_equal(space.from_features(space.features(genes)), genes)


def test_fixed_fields_have_no_columns():
    assert SPACE.fix({"rate": 0.1, "ema": True}).features([[0] * 7], "recipe").shape == (1, 0)


def test_features_of_wrong_shape_are_refused():
    with pytest.raises(ValueError, match=r"features have shape \(1, 3\); s needs \(n, 10\)"):
        SPACE.from_features([[0, 0, 0]])
