import json

import numpy as np
import pytest
import torch

from narsfast.cost import Counter
from narsfast.errors import UserError
from narsfast.predictor import Deviation, load_predictor, pretrain, save_predictor
from narsfast.search import TableCounter
from narsfast.space import Space, load_space


def test_a_fitted_predictor_comes_back(tmp_path, world, fitted):
    save_predictor(fitted, tmp_path / "new" / "folder")
    back = load_predictor(tmp_path / "new" / "folder", load_space("tiny"))
    np.testing.assert_array_equal(back.scores(world.genes), fitted.scores(world.genes))
    assert back.pretraining == fitted.pretraining
    assert (back.counter.in_chans, back.counter.num_classes) == (1, 10)


def test_the_deviation_comes_back(tmp_path, world, fitted):
    calibrated = fitted.calibrated(fitted.cross_validate(world.genes[:40], world.labels[:40], seed=1))
    assert calibrated.deviation != fitted.deviation == Deviation()
    for name, predictor in (("default", fitted), ("calibrated", calibrated)):
        save_predictor(predictor, tmp_path / name)
        back = load_predictor(tmp_path / name, world.space)
        assert back.deviation == predictor.deviation
        np.testing.assert_array_equal(back.predict(world.genes), predictor.predict(world.genes))


def test_a_pretrained_predictor_comes_back_and_fits_the_same(tmp_path, world, fitted):
    save_predictor(world.pretrained, tmp_path)
    back = load_predictor(tmp_path, world.space)
    assert back.fitted is None
    assert torch.equal(back.proxy[0][0], world.pretrained.proxy[0][0])
    refitted = back.fit(world.genes[:40], world.labels[:40], seed=3)
    np.testing.assert_array_equal(refitted.scores(world.genes), fitted.scores(world.genes))


def test_a_predictor_without_encoder_comes_back(tmp_path, recipe_only, small):
    genes = recipe_only.space.random(20, seed=0)
    predictor = pretrain(recipe_only, genes, seed=0, **small).fit(genes, np.arange(20.0), seed=0)
    save_predictor(predictor, tmp_path)
    back = load_predictor(tmp_path, recipe_only.space)
    np.testing.assert_array_equal(back.scores(genes), predictor.scores(genes))


def test_no_pickle(tmp_path, fitted):
    save_predictor(fitted, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"predictor.json", "predictor.safetensors"}
    schema = json.loads((tmp_path / "predictor.json").read_text())
    assert schema["space"]["name"] == "tiny"
    assert schema["unit"] == "percent"


def test_another_space_is_refused(tmp_path, fitted):
    save_predictor(fitted, tmp_path)
    with pytest.raises(UserError, match=r"made for space 'tiny' .*not for 'mobile'"):
        load_predictor(tmp_path, load_space("mobile"))
    with pytest.raises(UserError, match="made for space 'tiny'"):
        load_predictor(tmp_path, load_space("tiny").fix({"optimizer": "sgd"}))


def test_other_statistics_are_refused(tmp_path, world, fitted):
    save_predictor(fitted, tmp_path)
    table = np.zeros((len(world.space.fields), int(world.space.sizes.max()), 1))
    with pytest.raises(UserError, match="reads the statistics"):
        load_predictor(tmp_path, world.space, TableCounter(world.space, ("joules",), table))


def test_a_counter_of_one_s_own_must_be_given_again(tmp_path, small):
    space = Space.from_dict(
        {"name": "flat", "architecture": {"a": {"range": [1, 5]}}, "recipe": {}, "pool": {}, "budgets": []}
    )
    counter = TableCounter(space, ("joules",), np.arange(1.0, 6.0).reshape(1, 5, 1))
    save_predictor(pretrain(counter, space.random(20, seed=0), seed=0, **small), tmp_path)
    with pytest.raises(UserError, match="joules"):
        load_predictor(tmp_path, space)
    assert load_predictor(tmp_path, space, counter).names == ("joules",)


def test_missing_and_damaged_files(tmp_path, world, fitted):
    with pytest.raises(UserError, match="no whole predictor"):
        load_predictor(tmp_path, world.space)
    save_predictor(fitted, tmp_path)
    weights, schema = tmp_path / "predictor.safetensors", tmp_path / "predictor.json"
    whole, text = weights.read_bytes(), schema.read_text()
    weights.write_bytes(whole[:100])
    with pytest.raises(UserError, match="cannot be read"):
        load_predictor(tmp_path, world.space)
    weights.write_bytes(whole)
    for damaged, said in (
        (text[:50], "cannot be read"),
        (text.replace('"format": 2', '"format": 9'), "format 9"),
    ):
        schema.write_text(damaged)
        with pytest.raises(UserError, match=said):
            load_predictor(tmp_path, world.space)
    schema.write_text(text.replace('"members"', '"limbs"'))
    with pytest.raises(UserError, match="lacks 'members'"):
        load_predictor(tmp_path, world.space)


def test_another_counter_of_the_same_statistics_may_be_given(tmp_path, world, fitted):
    save_predictor(fitted, tmp_path)
    counter = Counter(world.space, in_chans=1, num_classes=10)
    assert load_predictor(tmp_path, world.space, counter).counter is counter
