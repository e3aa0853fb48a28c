import pytest

from narsfast.data import Augmentation
from narsfast.data._augmentation import POLICIES
from narsfast.errors import UserError
from narsfast.space import Recipe


def test_recipe_becomes_its_augmentation():
    recipe = Recipe(augmentation="randaugment", augmentation_strength=5, color=0.2, erasing=0.1)
    assert Augmentation.of(recipe) == Augmentation("randaugment", 5, 0.2, 0.1)
    assert Augmentation.of(Recipe()) == Augmentation()


@pytest.mark.parametrize(("kind", "published"), POLICIES.items())
def test_policy_without_a_strength_has_the_published_one(kind, published):
    assert Augmentation(kind).policy_strength == published
    assert Augmentation(kind, 0).policy_strength == 0


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"kind": "cutout"}, "augmentation is 'cutout'; it must be one of none, crop, randaugment"),
        ({"strength": 31}, "augmentation strength is 31; it must lie between 0 and 30"),
        ({"color": -0.1}, "augmentation color is -0.1; it must lie between 0 and 1"),
        ({"erasing": 2}, "augmentation erasing is 2; it must lie between 0 and 1"),
    ],
)
def test_impossible_value_is_refused_by_name(values, said):
    with pytest.raises(UserError, match=said):
        Augmentation(**values)
