import numpy as np
import pytest

from narsfast.space import Space, load_space

FLAT = Space.from_dict(
    {
        "name": "flat",
        "architecture": {"a": {"range": [0, 3]}, "b": {"choices": [1, 2]}, "c": {"range": [1, 5]}, "d": 9},
    }
)


@pytest.mark.parametrize("sample", [FLAT.random, FLAT.sobol])
def test_samples_depend_on_the_seed_only(sample):
    np.testing.assert_array_equal(sample(50, 3), sample(50, 3))
    assert (sample(50, 3) != sample(50, 4)).any()
    assert sample(0, 3).shape == (0, 4)
    assert sample(5, 3).dtype == np.int16


@pytest.mark.parametrize("name", ["random", "sobol"])
def test_samples_are_canonical(name):
    space = load_space("tiny")
    space.check(getattr(space, name)(500, 0))


def test_skip_continues_the_sequence():
    whole = FLAT.sobol(100, 7)
    np.testing.assert_array_equal(np.concatenate([FLAT.sobol(33, 7), FLAT.sobol(67, 7, skip=33)]), whole)


def test_sobol_is_more_even_than_chance():
    space = FLAT
    counts = {}
    for name in ("random", "sobol"):
        genes = getattr(space, name)(40 * 64, 5)
        cells = genes[:, 0] * 10 + genes[:, 1] * 5 + genes[:, 2]
        counts[name] = np.bincount(cells, minlength=40)
    assert counts["sobol"].sum() == 40 * 64
    assert counts["sobol"].std() < counts["random"].std() / 2
    assert abs(counts["sobol"] - 64).max() <= 8


def test_random_is_uniform():
    genes = FLAT.random(20_000, 1)
    for column, size in enumerate(FLAT.sizes):
        share = np.bincount(genes[:, column], minlength=size) / len(genes)
        np.testing.assert_allclose(share, 1 / size, atol=0.02)


def test_fixed_space_has_one_sample():
    fixed = FLAT.fix({"a": 2, "b": 1, "c": 5})
    assert not fixed.sobol(4, 0).any()
    assert not fixed.random(4, 0).any()
