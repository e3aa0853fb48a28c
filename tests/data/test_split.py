import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from narsfast.data._split import stratified
from narsfast.errors import UserError

SHARES = (0.7, 0.15, 0.15)


@given(st.lists(st.integers(3, 60), min_size=2, max_size=5), st.integers(0, 5))
def test_parts_are_disjoint_complete_and_stratified(counts, seed):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts)).astype(np.int64)
    classes = tuple(map(str, range(len(counts))))
    parts = stratified(labels, SHARES, classes, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(labels)))
    for part, share in zip(parts, SHARES, strict=True):
        for label, count in enumerate(counts):
            here = int((labels[part] == label).sum())
            assert here >= 1
            assert abs(here - share * count) <= 1.5


def test_split_is_reproducible_and_depends_on_the_seed():
    labels = np.repeat(np.arange(2), 50)
    first = stratified(labels, SHARES, ("a", "b"))
    again = stratified(labels, SHARES, ("a", "b"))
    other = stratified(labels, SHARES, ("a", "b"), seed=1)
    assert all(np.array_equal(x, y) for x, y in zip(first, again, strict=True))
    assert not np.array_equal(first[1], other[1])


def test_class_of_too_few_images_is_refused():
    with pytest.raises(UserError, match=r"'b' has 2 image.*at least 3"):
        stratified(np.array([0, 0, 0, 1, 1]), SHARES, ("a", "b"))
