import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narsfast.arch import round_width, squeezed_width


@pytest.mark.parametrize(
    ("width", "rounded"),
    [
        (1, 8),
        (8, 8),
        (9, 16),
        (12, 16),
        (16, 16),
        (18, 24),
        (20, 24),
        (36, 40),
        (84, 88),
        (100, 104),
        (164, 168),
    ],
)
def test_round_width_gives_known_widths(width, rounded):
    assert round_width(width) == rounded


@given(st.integers(1, 100_000))
def test_round_width_agrees_with_the_rule_in_floats(width):
    nearest = max(8, 8 * math.floor(width / 8 + 0.5))
    assert round_width(width) == nearest + 8 * (nearest < 0.95 * width)


@given(st.integers(1, 4000), st.integers(1, 10))
def test_squeezed_width_agrees_with_the_rule_in_floats(inputs, expansion):
    middle = round_width(inputs * expansion)
    assert squeezed_width(middle, expansion) == round_width(int(middle * 0.25 / expansion))
