import pytest

from narsfast.errors import UserError
from narsfast.space import Recipe


def test_missing_fields_have_their_defaults():
    recipe = Recipe.of({"optimizer": "sgd", "learning_rate": 0.01})
    assert recipe.model_dump() == Recipe().model_dump() | {"optimizer": "sgd", "learning_rate": 0.01}
    assert (recipe.sgd_factor, recipe.momentum, recipe.label_smoothing) == (4.0, 0.9, 0.1)
    assert recipe.ema_decay == 0.99985


def test_numbers_get_the_type_of_the_schema():
    assert isinstance(Recipe.of({"dropout": 0}).dropout, float)


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("optimizer", "adam", "it must be 'rmsprop', 'sgd', 'adamw' or 'lamb'"),
        ("learning_rate", 0, "a number above 0"),
        ("learning_rate", float("nan"), "a number above 0"),
        ("sgd_factor", -1, "a number above 0"),
        ("momentum", 1.0, "from 0 to below 1"),
        ("weight_decay", -1e-5, "at least 0"),
        ("batch_size", 1, "a whole number of at least 2"),
        ("batch_size", 2.5, "a whole number of at least 2"),
        ("warmup_epochs", "long", "a number of at least 0"),
        ("lr_final", 1.5, "above 0 and at most 1"),
        ("mixup", -0.1, "at least 0"),
        ("dropout", 1, "from 0 to below 1"),
        ("drop_path", -0.2, "from 0 to below 1"),
        ("label_smoothing", 1.0, "from 0 to below 1"),
        ("ema", "maybe", "true or false"),
        ("ema_decay", 1.0, "from 0 to below 1"),
        ("augmentation", "mosaic", "'none', 'crop', 'randaugment', 'autoaugment' or"),
        ("augmentation_strength", 31, "a whole number from 0 to 30, or null"),
        ("augmentation_strength", 2.5, "a whole number from 0 to 30, or null"),
        ("adamw_factor", 0, "a number above 0"),
        ("adamw_decay_factor", -1, "at least 0"),
        ("beta2", 1.0, "from 0 to below 1"),
        ("epochs_share", 0, "above 0 and at most 1"),
        ("cutmix", -1, "at least 0"),
        ("color", 1.5, "from 0 to 1"),
        ("erasing", -0.5, "from 0 to 1"),
        ("train_resolution", 1.25, "above 0 and at most 1"),
        ("layer_decay", 0, "above 0 and at most 1"),
        ("layer_decay", 1.1, "above 0 and at most 1"),
        ("head_factor", 0, "a number above 0"),
        ("frozen", -0.1, "from 0 to 1"),
        ("frozen", 1.5, "from 0 to 1"),
        ("frozen_until", 0, "above 0 and at most 1"),
        ("keep_statistics", "often", "true or false"),
        ("epochs", 3, "its fields are optimizer, learning_rate"),
    ],
)
def test_wrong_field_is_refused_with_value_and_remedy(name, value, remedy):
    with pytest.raises(UserError) as error:
        Recipe.of({name: value}, source="recipe.json")
    assert f"recipe.json.{name} is {value!r}; " in str(error.value)
    assert remedy in str(error.value)
    assert "\n" not in str(error.value)


def test_recipe_is_immutable():
    with pytest.raises(ValueError, match="frozen"):
        Recipe().momentum = 0.5


@pytest.mark.parametrize(
    ("share", "resolution", "side"),
    [
        (1.0, 30, 30),
        (0.75, 32, 24),
        (0.875, 32, 24),
        (0.875, 64, 56),
        (0.7, 240, 168),  # 0.7 * 240 is a little below 168
        (0.75, 224, 168),
        (0.1, 32, 8),
        (0.9, 5, 5),
    ],
)
def test_training_side_is_a_multiple_of_8_or_the_resolution(share, resolution, side):
    assert Recipe(train_resolution=share).training_side(resolution) == side


@pytest.mark.parametrize(("share", "steps"), [(1.0, 33), (0.5, 17), (0.1, 4), (0.001, 1), (1 / 3, 11)])
def test_epoch_has_its_share_of_steps(share, steps):
    assert Recipe(epochs_share=share).epoch_steps(33) == steps
