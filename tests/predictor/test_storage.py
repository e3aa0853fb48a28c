import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from narsfast.cost import Counter
from narsfast.errors import UserError
from narsfast.predictor import (
    DamagedPredictorError,
    Deviation,
    _storage,
    load_predictor,
    pretrain,
    save_predictor,
)
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
    with pytest.raises(DamagedPredictorError, match="lacks 'members'"):
        load_predictor(tmp_path, world.space)


def changed(name, value):
    """Return a change of one entry of the schema."""
    return lambda schema, tensors: schema.update({name: value})


def replaced(name, change):
    """Return a change of one tensor."""
    return lambda schema, tensors: tensors.update({name: change(tensors[name]).contiguous()})


def not_a_number(tensor):
    tensor = tensor.clone()
    tensor.view(-1)[0] = float("nan")
    return tensor


DAMAGE = {
    "deviation of another name": (changed("deviation", {"scael": 1.0}), "scael"),
    "deviation a list": (changed("deviation", [1.0]), "mapping"),
    "deviation of words": (
        changed("deviation", {"scale": "large", "floor": 0.1}),
        "deviation.scale is 'large'",
    ),
    "deviation below 0": (changed("deviation", {"scale": -1.0, "floor": 0.1}), "deviation.scale is -1.0"),
    "members too many": (changed("members", 3), r"encoder.0.weight is .* \(2, .*not .* \(3, "),
    "members a word": (changed("members", "two"), "members"),
    "members none": (changed("members", 0), "members"),
    "widths a number": (changed("head_widths", 16), "iterable"),
    "space a word": (changed("space", "tiny"), "indices"),
    "statistics fewer": (changed("pretraining", [1]), "items"),
    "encoder transposed": (replaced("encoder.0.weight", lambda t: t.transpose(1, 2)), "encoder.0.weight is"),
    "encoder of doubles": (
        replaced("encoder.1.weight", torch.Tensor.double),
        "encoder.1.weight is torch.float64",
    ),
    "bias cut": (replaced("encoder.0.bias", lambda t: t[:, 1:]), "encoder.0.bias is"),
    "head cut": (replaced("fitted.head.0.weight", lambda t: t[:, 1:]), "fitted.head.0.weight is"),
    "mean cut": (replaced("statistics.mean", lambda t: t[1:]), "statistics.mean is"),
    "deviation of statistics 0": (
        replaced("statistics.std", torch.zeros_like),
        "statistics.std is not above 0",
    ),
    "center cut": (replaced("fitted.centre", lambda t: t[:1]), "fitted.centre is"),
    "weights not numbers": (
        replaced("fitted.head.1.weight", not_a_number),
        "fitted.head.1.weight is not finite",
    ),
    "statistics not numbers": (replaced("statistics.mean", not_a_number), "statistics.mean is not finite"),
    "layer gone": (lambda schema, tensors: tensors.pop("fitted.encoder.1.weight"), "fitted.encoder"),
    "head gone": (
        lambda schema, tensors: [tensors.pop(n) for n in list(tensors) if "fitted.head" in n],
        "head",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_load_refuses_what_does_not_fit_together(tmp_path, world, fitted, damage):
    save_predictor(fitted, tmp_path)
    change, said = DAMAGE[damage]
    schema = json.loads((tmp_path / "predictor.json").read_text())
    tensors = load_file(tmp_path / "predictor.safetensors")
    change(schema, tensors)
    (tmp_path / "predictor.json").write_text(json.dumps(schema))
    save_file(tensors, tmp_path / "predictor.safetensors")
    with pytest.raises(DamagedPredictorError, match=said):
        load_predictor(tmp_path, world.space)


@pytest.mark.parametrize("text", ["[1, 2]", "3", "null", "[" * 100_000, "9" * 5000, "\0"])
def test_load_refuses_json_of_other_kinds(tmp_path, world, fitted, text):
    save_predictor(fitted, tmp_path)
    (tmp_path / "predictor.json").write_text(text)
    with pytest.raises(DamagedPredictorError, match="cannot be read"):
        load_predictor(tmp_path, world.space)


def test_files_of_a_predictor_are_whole_or_not_there(tmp_path, fitted, monkeypatch):
    save_predictor(fitted, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fill_up(tensors, file):
        file.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(_storage, "save_file", fill_up)
    with pytest.raises(OSError, match="no space left"):
        save_predictor(fitted, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_load_uses_a_given_counter_of_the_same_statistics(tmp_path, world, fitted):
    save_predictor(fitted, tmp_path)
    counter = Counter(world.space, in_chans=1, num_classes=10)
    assert load_predictor(tmp_path, world.space, counter).counter is counter
