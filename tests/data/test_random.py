import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from narsfast.data import hash_seed, uniforms
from narsfast.data._random import random_bits


@given(st.lists(st.integers(-(2**63), 2**64 - 1), min_size=1, max_size=4))
def test_same_keys_same_bits_and_every_key_counts(keys):
    assert random_bits(*keys) == random_bits(*keys)
    for i in range(len(keys)):
        changed = [key + (j == i) for j, key in enumerate(keys)]
        assert random_bits(*changed) != random_bits(*keys)


def test_draw_depends_on_its_own_sample_only():
    together = uniforms(3, 1, 2, np.arange(100))
    alone = np.concatenate([uniforms(3, 1, 2, np.array([i])) for i in range(100)])
    np.testing.assert_array_equal(together, alone)


def test_draws_are_uniform_and_uncorrelated():
    draws = uniforms(2, 5, np.arange(20_000))
    assert draws.min() >= 0
    assert draws.max() < 1
    counts = np.histogram(draws, bins=20, range=(0, 1))[0]
    assert ((counts - 2000) ** 2 / 2000).sum() < 45  # chi-squared, 19 degrees of freedom, p about 0.0007
    assert abs(np.corrcoef(draws.T)[0, 1]) < 0.03
    assert abs(np.corrcoef(draws[:-1, 0], draws[1:, 0])[0, 1]) < 0.03


@pytest.mark.parametrize("keys", [(0,), (1, 2), (2**64 - 1, 3)])
def test_hash_seed_fits_every_generator(keys):
    assert 0 <= hash_seed(*keys) < 2**63
    assert hash_seed(*keys) == hash_seed(*keys)


def test_order_of_keys_counts():
    assert hash_seed(1, 2) != hash_seed(2, 1)
