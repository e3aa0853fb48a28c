import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narsfast.space import SqueezedWidth, round_width


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
def test_a_quarter_of_the_input_agrees_with_the_rule_in_floats(inputs, expansion):
    """The rule of the released FBNetV3 models."""
    middle = round_width(inputs * expansion)
    found = SqueezedWidth.of("input/4").squeezed(inputs, middle, expansion)
    assert found == round_width(int(middle * 0.25 / expansion))


@pytest.mark.parametrize(
    ("written", "width"),
    [
        (20, 20),
        ("input/4", 8),
        ("input/4 exact", 6),
        ("hidden/4", 40),
        ("hidden/16 exact", 9),
        ("input/64 exact", 1),
    ],
)
def test_squeezed_width_follows_from_the_widths_of_the_block(written, width):
    """With 24 channels in and 146 hidden ones."""
    assert SqueezedWidth.of(written).squeezed(24, 146, None) == width


@pytest.mark.parametrize("written", [20, "input/4", "input/4 exact", "hidden/4", "hidden/16 exact"])
def test_code_of_a_squeezed_width_is_read_back(written):
    assert SqueezedWidth.from_code(SqueezedWidth.of(written).code).written == written


@pytest.mark.parametrize(
    "written", [0, -4, True, 2.5, "4", "input", "input/0", "output/4", "input/4 rounded"]
)
def test_other_squeezed_widths_are_refused(written):
    with pytest.raises(ValueError, match="should be a width such as 24"):
        SqueezedWidth.of(written)
