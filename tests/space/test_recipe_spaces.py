"""The built-in recipe spaces: widening loses no candidate, and every candidate is a valid recipe."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from narsfast.errors import UserError
from narsfast.space import (
    Candidate,
    Recipe,
    Space,
    builtin_spaces,
    default_recipe,
    load_space,
    recipe_spaces,
    with_recipe_space,
)

FEW = settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.too_slow])
WIDE = {name: with_recipe_space(load_space(name), "extended") for name in builtin_spaces()}
TUNED = {name: with_recipe_space(load_space(name), "finetune") for name in builtin_spaces()}
FOR_PARENTS = {"layer_decay", "head_factor", "frozen", "frozen_until", "keep_statistics"}
LEFT_OUT = {"class_balance", *FOR_PARENTS}
ARCHITECTURE = load_space("tiny").to_dict()["architecture"]


def file_space(recipe):
    return Space.from_dict({"name": "mine", "stages": 4, "architecture": ARCHITECTURE, "recipe": recipe})


def test_recipe_spaces_are_listed():
    assert recipe_spaces() == ("extended", "finetune", "paper")


@pytest.mark.parametrize("space", WIDE.values(), ids=WIDE)
def test_extended_recipe_has_every_field(space):
    recipe = space.to_dict()["recipe"]
    assert recipe.keys() == Recipe.model_fields.keys() - LEFT_OUT
    scales = {"sgd_factor", "adamw_factor", "adamw_decay_factor"}
    for_the_data = {"momentum", "warmup_epochs", "lr_final", "schedule_by"}
    fixed = {name for name in recipe if space.field(name).kind == "fixed"}
    assert fixed == scales | for_the_data


@FEW
@given(st.sampled_from([*WIDE.values(), *TUNED.values()]), st.integers(0, 1000))
def test_every_candidate_is_a_valid_recipe_and_survives_encoding(space, seed):
    genes = space.random(30, seed)
    candidates = space.decode(genes)
    np.testing.assert_array_equal(space.encode(candidates), genes)
    np.testing.assert_array_equal(space.from_features(space.features(genes)), genes)
    for candidate in candidates:
        recipe = Recipe.of(candidate.recipe)
        assert recipe.model_dump() == Recipe().model_dump() | dict(candidate.recipe)
        reread = Recipe.of(json.loads(recipe.model_dump_json()))
        assert reread == recipe


@FEW
@given(st.sampled_from(sorted(WIDE)), st.integers(0, 1000))
def test_widened_space_contains_all_candidates_of_the_narrow_one(name, seed):
    narrow, wide = load_space(name), WIDE[name]
    for candidate in narrow.decode(narrow.random(5, seed)):
        recipe = Recipe.of(candidate.recipe)
        values = {field: value for field, value in recipe.model_dump().items() if value is not None}
        values |= {"adamw_factor": 0.2, "adamw_decay_factor": 1000.0}  # scales of another optimizer
        values.pop("beta2")
        values = {field: value for field, value in values.items() if field not in LEFT_OUT}
        if not recipe.ema:
            values.pop("ema_decay")
        if recipe.augmentation not in ("none", "crop"):
            values["augmentation_strength"] = 30  # the published setting of autoaugment
        same = Candidate(candidate.architecture, values)
        assert wide.decode(wide.encode([same])) == [same]


def test_inactive_fields_are_left_out_of_candidates():
    space = WIDE["tiny"].fix({"optimizer": "sgd", "ema": False, "augmentation": "crop"})
    recipe = space.decode(space.random(1, 0))[0].recipe
    assert not {"beta2", "ema_decay", "augmentation_strength"} & set(recipe)


def test_widening_is_idempotent():
    assert with_recipe_space(WIDE["tiny"], "extended") == WIDE["tiny"]
    assert with_recipe_space(load_space("tiny"), "paper") == load_space("tiny")


def test_added_fields_have_their_default_among_the_values():
    wide = with_recipe_space(file_space({}), "extended")
    others = {"adamw_decay_factor", "augmentation_strength", *LEFT_OUT}
    for name in Recipe.model_fields.keys() - others:
        assert getattr(Recipe(), name) in wide.values(name)


def test_merged_values_are_sorted():
    assert WIDE["fbnetv3"].values("batch_size") == (32, 64, 128, 256)
    assert WIDE["mobile"].values("learning_rate") == load_space("mobile").values("learning_rate")


def test_file_can_name_a_recipe_space():
    paper = load_space("fbnetv3").to_dict()["recipe"]
    assert file_space("paper").to_dict()["recipe"] == paper
    assert file_space("extended").to_dict()["recipe"] == WIDE["fbnetv3"].to_dict()["recipe"]


def test_unknown_recipe_space_and_foreign_recipe_are_refused():
    with pytest.raises(
        UserError,
        match="mine: recipe is 'exotic'; it must be a mapping of fields or one of extended, finetune, paper",
    ):
        file_space("exotic")
    with pytest.raises(
        UserError, match="recipe_space is 'exotic'; it must be one of extended, finetune, paper"
    ):
        with_recipe_space(load_space("tiny"), "exotic")
    table = Space.from_dict({"name": "table", "recipe": {"initial_rate": {"choices": [1, 2]}}})
    with pytest.raises(UserError, match="and table has the recipe field initial_rate"):
        with_recipe_space(table, "extended")


def test_recipe_only_space_can_be_widened():
    alone = Space.from_dict({"name": "mine", "recipe": {"optimizer": "lamb", "mixup": 0.2}})
    wide = with_recipe_space(alone, "extended")
    assert wide.to_dict()["recipe"].keys() == Recipe.model_fields.keys() - LEFT_OUT
    assert wide.values("optimizer") == ("lamb", "rmsprop", "sgd", "adamw")
    assert (wide.values("mixup"), wide.values("cutmix")) == ((0.2,), (0.0, 0.5, 1.0))


@pytest.mark.parametrize("space", TUNED.values(), ids=TUNED)
def test_finetune_takes_the_place_of_the_recipe(space):
    assert space.to_dict()["recipe"] == TUNED["tiny"].to_dict()["recipe"]
    assert space.to_dict()["architecture"] == load_space(space.name).to_dict()["architecture"]
    assert space.to_dict()["recipe"].keys() == Recipe.model_fields.keys() - {"class_balance"}
    assert with_recipe_space(space, "finetune") == space
    assert file_space("finetune").to_dict()["recipe"] == space.to_dict()["recipe"]


def test_finetune_searches_the_rate_on_a_log_range():
    field = TUNED["tiny"].field("learning_rate")
    assert field.kind == "range"
    ratios = np.array(field.values[1:]) / np.array(field.values[:-1])
    np.testing.assert_allclose(ratios, ratios.mean(), rtol=0.02)
    assert ratios.mean() > 1.2


def test_fields_of_frozen_layers_are_active_where_some_are_frozen():
    space = TUNED["tiny"]
    for candidate in space.decode(space.random(200, 0)):
        frozen = candidate.recipe["frozen"] > 0
        assert ("frozen_until" in candidate.recipe) == ("keep_statistics" in candidate.recipe) == frozen
    fixed = space.fix({"frozen": 0})
    assert not {"frozen_until", "keep_statistics"} & set(fixed.decode(fixed.random(1, 0))[0].recipe)


def test_default_of_finetune_is_one_of_its_recipes():
    space, recipe = TUNED["tiny"], default_recipe("finetune")
    architecture = space.decode(space.random(1, 0))[0].architecture
    active = {"beta2": recipe.optimizer == "adamw", "ema_decay": recipe.ema}
    active |= dict.fromkeys(("frozen_until", "keep_statistics"), recipe.frozen > 0)
    active["augmentation_strength"] = recipe.augmentation not in ("none", "crop")
    values = {
        name: value
        for name, value in recipe.model_dump().items()
        if active.get(name, name != "class_balance")
    }
    same = Candidate(architecture, values)
    assert space.decode(space.encode([same])) == [same]


def test_other_recipe_spaces_have_no_default():
    with pytest.raises(
        UserError, match="recipe_space is 'extended', which has no default recipe; 'finetune' has one"
    ):
        default_recipe("extended")
    with pytest.raises(UserError, match="recipe_space is 'exotic'"):
        default_recipe("exotic")
