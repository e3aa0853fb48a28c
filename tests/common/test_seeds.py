from hypothesis import given
from hypothesis import strategies as st

from narsfast.common.seeds import derive_seed


def test_seeds_are_the_same_everywhere():
    assert derive_seed(0, "final", "abc") == 8681395494181943224


@given(st.integers(0, 2**63), st.text(), st.text())
def test_every_purpose_has_its_own(seed, one, other):
    assert 0 <= derive_seed(seed, one) < 2**63
    assert (derive_seed(seed, one) == derive_seed(seed, other)) == (one == other)
