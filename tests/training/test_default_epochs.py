import pytest

from narsfast.common.options import RUN_OPTIONS
from narsfast.training import default_epochs


@pytest.mark.parametrize("images", [1, 3000, 1_000_000])
def test_from_scratch_they_are_the_options_defaults(images):
    assert default_epochs(images, "scratch", "trial") == RUN_OPTIONS["epochs"].default == 8
    assert default_epochs(images, "scratch", "final") == RUN_OPTIONS["final_epochs"].default == 30


@pytest.mark.parametrize(
    ("images", "trial"), [(1, 24), (100, 24), (750, 12), (3000, 6), (12_000, 3), (48_000, 2), (1_000_000, 2)]
)
def test_from_a_parent_they_fall_with_the_number_of_images(images, trial):
    assert default_epochs(images, "parent", "trial") == trial
    assert default_epochs(images, "parent", "final") == 3 * trial
