import pytest

from narsfast.common.preparation import Preparation
from narsfast.errors import UserError


def test_gray_images_have_the_mean_of_the_channels():
    gray = Preparation((0.1, 0.2, 0.6), (0.2, 0.3, 0.4), "bicubic", 0.875).for_channels(1)
    assert gray.mean == pytest.approx((0.3,))
    assert gray.std == pytest.approx((0.3,))
    assert (gray.interpolation, gray.crop) == ("bicubic", 0.875)


def test_as_many_channels_stay_as_they_are():
    own = Preparation((0.1, 0.2, 0.6), (0.2, 0.3, 0.4))
    assert own.for_channels(3) is own
    assert own.for_channels(5).mean == pytest.approx((0.3,) * 5)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"interpolation": "nearest"}, "interpolation is 'nearest'; it must be one of bilinear, bicubic"),
        ({"crop": 0.0}, "crop is 0; it must be above 0 and at most 1"),
        ({"crop": 1.1}, "crop is 1.1; it must be"),
        ({"std": (0.0,)}, "std is"),
        ({"std": (1.0, 1.0)}, "each needs one number per channel"),
    ],
)
def test_what_no_network_has_is_refused(wrong, said):
    with pytest.raises(UserError, match=said):
        Preparation(**{"mean": (0.5,), "std": (0.5,)} | wrong)
