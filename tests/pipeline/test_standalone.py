import json
import shutil
from pathlib import Path

import pytest
import torch

from narsfast.arch import Definition, Row, create, create_model, load_weights, read_definition
from narsfast.cost import STATISTICS, count_definitions
from narsfast.data import shared_data
from narsfast.emit import Measurements, describe_data, emit, load, read_preprocessing
from narsfast.errors import UserError
from narsfast.pipeline._standalone import scale_network, train_with_recipe
from narsfast.space import Recipe, read_recipe
from narsfast.training import evaluate

FACTORY = """
from torch import nn


def small(num_classes, in_chans):
    layers = [nn.Conv2d(in_chans, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(8, num_classes))
"""
RECIPE = Recipe(learning_rate=0.02, drop_path=0.1, dropout=0.1, batch_size=64)


@pytest.fixture
def small(tmp_path):
    (tmp_path / "nets.py").write_text(FACTORY)
    return f"{tmp_path / 'nets.py'}:small"


@pytest.fixture(scope="module")
def emitted(tmp_path_factory):
    """Emit a narsfast network with fresh weights."""
    folder = tmp_path_factory.mktemp("emitted") / "found"
    definition = Definition(
        name="own",
        resolution=32,
        stem_channels=8,
        stages=((Row(3, 1, 8, 1, 2, False),), (Row(3, 4, 16, 2, 1, True), Row(3, 2, 16, 1, 3, True))),
        head_expansion=4,
        head_features=64,
    )
    measured = Measurements("macs<=1M", {"macs": 1, "params": 2}, 1.0, 2.0, 3.0, 1, 0, "0" * 16)
    emit(folder, create(definition, 10, 1), RECIPE, describe_data(shared_data("digits", 32)), measured)
    return folder


@pytest.fixture
def found(emitted, tmp_path):
    return Path(shutil.copytree(emitted, tmp_path / "found"))


@pytest.mark.parametrize(
    "text", [RECIPE.model_dump_json(), "learning_rate: 0.02\ndrop_path: 0.1\ndropout: 0.1\n"]
)
def test_a_recipe_is_yaml_or_json(tmp_path, text):
    (tmp_path / "recipe").write_text(text)
    assert read_recipe(tmp_path / "recipe") == RECIPE


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- 1", "is a list; write fields and values"),
        ("lr: 1", "no such field"),
        ("1: 2", "no such field"),
        ("a: 1\nb: {", "not readable as YAML in line 2"),
        ("ema: true\ndropout: 0\nema: false", "'ema' is given twice, keep one"),
        ('{"ema": true, "ema": false}', "'ema' is given twice, keep one"),
        ("ema: {{x}}", "quote text with braces"),
        (None, r"cannot be read \(No such file or directory\); give a file"),
    ],
)
def test_what_is_no_recipe_is_refused(tmp_path, text, said):
    if text is not None:
        (tmp_path / "recipe").write_text(text)
    with pytest.raises(UserError, match=said):
        read_recipe(tmp_path / "recipe")


def test_a_recipe_trains_another_network(tmp_path, small):
    result = train_with_recipe(small, RECIPE, tmp_path / "out", resolution=16, epochs=3, seed=4)
    assert json.loads((tmp_path / "out" / "training.json").read_text()) == result
    assert (len(result["curve"]), result["left_out"]) == (3, ["drop_path"])
    assert result["recipe"]["drop_path"] == 0
    assert result["recipe"]["dropout"] == RECIPE.dropout
    network = create_model(small, 10, 1)
    load_weights(network, tmp_path / "out" / "weights.safetensors")
    data = shared_data("digits", 16)
    assert evaluate(network, data.val, 16).accuracy == result["validation"]
    assert evaluate(network, data.test, 16).accuracy == result["test"]
    again = train_with_recipe(small, RECIPE, tmp_path / "out", resolution=16, epochs=3, seed=4)
    assert again["curve"] == result["curve"]
    assert (again["optim_backend"], again["settings"]["precision"]) == ("native", "float32")


def test_what_was_trained_is_used_like_a_found_network(tmp_path, small):
    result = train_with_recipe(small, RECIPE, tmp_path / "out", resolution=16, epochs=2)
    Path(small.rpartition(":")[0]).unlink()
    data = shared_data("digits", 16)
    assert evaluate(load(tmp_path / "out", run_code=True), data.test, 16).accuracy == result["test"]
    assert read_preprocessing(tmp_path / "out").classes == data.classes
    assert "trained by narsfast with a given recipe" in (tmp_path / "out" / "README.md").read_text()


def test_a_found_network_trains_at_its_own_resolution(tmp_path, found):
    result = train_with_recipe(str(found), found, tmp_path / "out", epochs=1)
    assert load(tmp_path / "out").definition == read_definition(found / "definition.json")
    assert (result["resolution"], result["left_out"]) == (32, [])
    assert set(result["statistics"]) == set(STATISTICS)


def test_mistakes_of_a_training(tmp_path, small):
    with pytest.raises(UserError, match=r"resolution is missing; .* needs one in pixels"):
        train_with_recipe(small, RECIPE, tmp_path / "out")
    with pytest.raises(UserError, match="seed is -1; it must be at least 0"):
        train_with_recipe(small, RECIPE, tmp_path / "out", resolution=16, seed=-1)
    with pytest.raises(UserError, match="holds other things"):
        train_with_recipe(small, RECIPE, tmp_path, resolution=16)
    wild = RECIPE.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(UserError, match="the training diverged"):
        train_with_recipe(small, wild, tmp_path / "out", resolution=16, epochs=1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("asked", ["0.5x", "2x", "900K"])
def test_a_found_network_is_scaled_with_its_recipe(tmp_path, found, asked):
    result = scale_network(str(found), asked, tmp_path / "scaled")
    scaled = read_definition(tmp_path / "scaled" / "definition.json")
    counted = count_definitions([scaled], in_chans=1, num_classes=10)[0]
    assert result["after"]["macs"] == counted[STATISTICS.index("macs")]
    assert result["after"]["macs"] == pytest.approx(result["asked_macs"], rel=0.1)
    assert json.loads((tmp_path / "scaled" / "statistics.json").read_text()) == result
    assert read_recipe(tmp_path / "scaled" / "recipe.json") == RECIPE
    again = scale_network(str(tmp_path / "scaled"), "1x", tmp_path / "again")
    assert again["before"] == again["after"] == result["after"]
    assert (again["in_chans"], again["classes"]) == (1, 10)
    (tmp_path / "again" / "statistics.json").write_text("{}")
    with pytest.raises(UserError, match="does not say what it was counted with; scale the network again"):
        scale_network(str(tmp_path / "again"), "1x", tmp_path / "third")
    network = create_model(str(tmp_path / "scaled" / "definition.json"), 10, 1)
    side = scaled.resolution
    assert network(torch.zeros(2, 1, side, side)).shape == (2, 10)


def test_one_times_is_the_same(tmp_path, found):
    scale_network(str(found), "1x", tmp_path / "scaled")
    assert read_definition(tmp_path / "scaled" / "definition.json") == read_definition(
        found / "definition.json"
    )


def test_mistakes_of_scaling(tmp_path, found):
    with pytest.raises(UserError, match="macs is 'twice'; give a factor"):
        scale_network(str(found), "twice", tmp_path / "scaled")
    (found / "definition.json").unlink()
    with pytest.raises(UserError, match=r"has no definition.json"):
        scale_network(str(found), "2x", tmp_path / "scaled")
    with pytest.raises(UserError, match="the zoo has"):
        scale_network("nothing", "2x", tmp_path / "scaled")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"precision": "half"}, "precision is 'half'; it must be 'float32', 'bfloat16' or 'float16'"),
        ({"clip_norm": 0}, "clip_norm is 0; it must be greater than 0"),
        ({"loader": "ffcv"}, "loader is 'ffcv'; it must be"),
        ({"speed": 1}, "speed is 1; there is no such field"),
    ],
)
def test_wrong_settings_are_one_sentence(small, tmp_path, settings, said):
    with pytest.raises(UserError, match=f"^{said}"):
        train_with_recipe(small, RECIPE, tmp_path / "out", resolution=16, settings=settings)
