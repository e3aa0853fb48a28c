import json

import numpy as np
import pytest
import torch

from narsfast.cost import Counter
from narsfast.errors import UserError
from narsfast.predictor import Deviation, load_predictor, pretrain, save_predictor
from narsfast.search import TableCounter
from narsfast.space import Space, load_space


def test_fitted_predictor_survives_storage(tmp_path, world, fitted):
    save_predictor(fitted, tmp_path / "new" / "folder")
    loaded = load_predictor(tmp_path / "new" / "folder", load_space("tiny"))
    np.testing.assert_array_equal(loaded.scores(world.genes), fitted.scores(world.genes))
    assert loaded.pretraining == fitted.pretraining
    assert (loaded.counter.in_chans, loaded.counter.num_classes) == (1, 10)


def test_calibration_survives_storage(tmp_path, world, fitted):
    calibrated = fitted.calibrated(fitted.cross_validate(world.genes[:40], world.labels[:40], seed=1))
    assert calibrated.deviation != fitted.deviation == Deviation()
    for name, predictor in (("default", fitted), ("calibrated", calibrated)):
        save_predictor(predictor, tmp_path / name)
        loaded = load_predictor(tmp_path / name, world.space)
        assert loaded.deviation == predictor.deviation
        np.testing.assert_array_equal(loaded.predict(world.genes), predictor.predict(world.genes))


def test_stored_pretrained_predictor_fits_the_same(tmp_path, world, fitted):
    save_predictor(world.pretrained, tmp_path)
    loaded = load_predictor(tmp_path, world.space)
    assert loaded.fitted is None
    assert torch.equal(loaded.proxy[0][0], world.pretrained.proxy[0][0])
    refitted = loaded.fit(world.genes[:40], world.labels[:40], seed=3)
    np.testing.assert_array_equal(refitted.scores(world.genes), fitted.scores(world.genes))


def test_predictor_without_encoder_survives_storage(tmp_path, recipe_only, small):
    genes = recipe_only.space.random(20, seed=0)
    predictor = pretrain(recipe_only, genes, seed=0, **small).fit(genes, np.arange(20.0), seed=0)
    save_predictor(predictor, tmp_path)
    loaded = load_predictor(tmp_path, recipe_only.space)
    np.testing.assert_array_equal(loaded.scores(genes), predictor.scores(genes))


def test_files_are_json_and_safetensors(tmp_path, fitted):
    save_predictor(fitted, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"predictor.json", "predictor.safetensors"}
    schema = json.loads((tmp_path / "predictor.json").read_text())
    assert schema["space"]["name"] == "tiny"
    assert schema["unit"] == "percent"


def test_load_refuses_another_space(tmp_path, fitted):
    save_predictor(fitted, tmp_path)
    with pytest.raises(UserError, match=r"made for space 'tiny' .*not for 'mobile'"):
        load_predictor(tmp_path, load_space("mobile"))
    with pytest.raises(UserError, match="made for space 'tiny'"):
        load_predictor(tmp_path, load_space("tiny").fix({"optimizer": "sgd"}))


def test_load_refuses_other_statistics(tmp_path, world, fitted):
    save_predictor(fitted, tmp_path)
    table = np.zeros((len(world.space.fields), int(world.space.sizes.max()), 1))
    with pytest.raises(UserError, match="reads the statistics"):
        load_predictor(tmp_path, world.space, TableCounter(world.space, ("joules",), table))


def test_load_needs_a_custom_counter(tmp_path, small):
    space = Space.from_dict(
        {"name": "flat", "architecture": {"a": {"range": [1, 5]}}, "recipe": {}, "pool": {}, "budgets": []}
    )
    counter = TableCounter(space, ("joules",), np.arange(1.0, 6.0).reshape(1, 5, 1))
    save_predictor(pretrain(counter, space.random(20, seed=0), seed=0, **small), tmp_path)
    with pytest.raises(UserError, match="joules"):
        load_predictor(tmp_path, space)
    assert load_predictor(tmp_path, space, counter).names == ("joules",)


def test_load_refuses_missing_and_damaged_files(tmp_path, world, fitted):
    with pytest.raises(UserError, match="not contain a complete predictor"):
        load_predictor(tmp_path, world.space)
    save_predictor(fitted, tmp_path)
    weights, schema = tmp_path / "predictor.safetensors", tmp_path / "predictor.json"
    complete, text = weights.read_bytes(), schema.read_text()
    weights.write_bytes(complete[:100])
    with pytest.raises(UserError, match="cannot be read"):
        load_predictor(tmp_path, world.space)
    weights.write_bytes(complete)
    for damaged, message in (
        (text[:50], "cannot be read"),
        (text.replace('"format": 2', '"format": 9'), "format 9"),
    ):
        schema.write_text(damaged)
        with pytest.raises(UserError, match=message):
            load_predictor(tmp_path, world.space)
    schema.write_text(text.replace('"members"', '"limbs"'))
    with pytest.raises(UserError, match="lacks 'members'"):
        load_predictor(tmp_path, world.space)


def test_load_uses_a_given_counter_of_the_same_statistics(tmp_path, world, fitted):
    save_predictor(fitted, tmp_path)
    counter = Counter(world.space, in_chans=1, num_classes=10)
    assert load_predictor(tmp_path, world.space, counter).counter is counter
