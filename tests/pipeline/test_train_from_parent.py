"""Trainings of single networks that start from a pretrained one."""

import json

import numpy as np
import pytest
import torch

from narsfast.arch import Family, create_model, load_pretrained, read_definition, save_weights
from narsfast.data import dataset_from, save_dataset, shared_data
from narsfast.emit import load, read_preprocessing
from narsfast.errors import UserError
from narsfast.pipeline import _standalone, fine_tune, train_with_recipe
from narsfast.space import Recipe, default_recipe
from narsfast.training import evaluate
from narsfast.training._start import first_images

RECIPE = Recipe(
    optimizer="sgd", sgd_factor=1.0, learning_rate=0.01, batch_size=32, dropout=0.1, drop_path=0.1
)


@pytest.fixture(scope="module")
def child(tmp_path_factory, parent):
    """Write the definition of a smaller child of the parent."""
    file = tmp_path_factory.mktemp("child") / "child.json"
    family = Family(read_definition(parent.partition("=")[0]))
    definition = family.child({"stage2.depth": 1, "stage3.hidden": 50, "resolution": 24})
    file.write_text(definition.model_copy(update={"name": "child"}).to_json())
    return str(file)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, parent, few_images):
    """Train the parent itself, by the recipe of fine-tuning."""
    folder = tmp_path_factory.mktemp("trained") / "out"
    return folder, train_with_recipe(None, None, folder, data=few_images, epochs=1, parent=parent)


def test_the_parent_itself_with_its_images(trained, parent, few_images):
    folder, result = trained
    assert result["recipe"] == default_recipe("finetune").model_dump(mode="json")
    assert (result["model"], result["resolution"]) == (parent.partition("=")[0], 32)
    network, facts = load(folder), read_preprocessing(folder)
    assert network.definition.stages == read_definition(parent.partition("=")[0]).stages
    preparation = load_pretrained(*parent.split("=")).preparation.for_channels(1)
    assert (facts.mean, facts.std, facts.crop) == (preparation.mean, preparation.std, 0.875)
    data = shared_data(few_images, 32).prepared(preparation)
    assert evaluate(network, data.test, 32).accuracy == result["test"]


def test_folder_names_the_parent(trained, parent):
    folder, result = trained
    facts = load_pretrained(*parent.split("=")).facts()
    assert result["parent"] == facts
    assert json.loads((folder / "training.json").read_text())["parent"] == facts
    assert json.loads((folder / "emission.json").read_text())["parent"] == facts
    assert facts["sha256"] in (folder / "README.md").read_text()
    assert {path.name for path in folder.parent.iterdir()} == {"out"}


def test_a_child_inherits(child, parent, few_images, tmp_path):
    still = RECIPE.model_copy(update={"learning_rate": 1e-9, "ema": False})
    loaded = load_pretrained(*parent.split("="))
    result = train_with_recipe(child, still, tmp_path / "out", data=few_images, epochs=1, parent=loaded)
    assert (result["model"], result["resolution"]) == (child, 24)
    found = load(tmp_path / "out")
    inherited = create_model(read_definition(child), 10, 1)
    data = shared_data(few_images, 24).prepared(loaded.preparation)
    loaded.give(inherited, lambda: first_images(data, 24))
    states = inherited.state_dict(), found.state_dict()
    weights = [name for name, _ in found.named_parameters() if not name.startswith("head.classifier")]
    for name in weights:
        torch.testing.assert_close(states[1][name], states[0][name])


def test_a_network_of_another_library(own, few_images, tmp_path, caplog):
    """What it cannot take is left out, and its classifier, whatever it is called, starts as ours do."""
    still = RECIPE.model_copy(update={"learning_rate": 1e-9, "ema": False, "head_factor": 3.0})
    result = train_with_recipe(
        None, still, tmp_path / "out", data=few_images, epochs=1, resolution=12, parent=own
    )
    assert result["left_out"] == ["drop_path"]
    assert "drop_path is left out" in caplog.text
    state = load(tmp_path / "out", run_code=True).state_dict()
    assert state["5.weight"].std() == pytest.approx(0.01, rel=0.1)
    assert state["5.bias"].abs().max() < 1e-6
    assert result["parent"]["name"] == "net"


def test_a_stopped_training_goes_on_and_of_another_parent_is_refused(parent, few_images, tmp_path):
    class Stopped(BaseException):
        pass

    def stop(stage, share, of):
        if share > 0.6:  # in the second epoch, after the checkpoint of the first
            raise Stopped

    asked = {"data": few_images, "epochs": 2, "resolution": 16}
    with pytest.raises(Stopped):
        train_with_recipe(None, RECIPE, tmp_path / "out", parent=parent, progress=stop, **asked)
    definition, _, _ = parent.partition("=")
    save_weights(create_model(definition, 7, 3), tmp_path / "other.safetensors")
    with pytest.raises(UserError, match=r"training with other arguments.*start"):
        train_with_recipe(
            None, RECIPE, tmp_path / "out", parent=f"{definition}={tmp_path / 'other.safetensors'}", **asked
        )
    shares = []
    resumed = train_with_recipe(
        None,
        RECIPE,
        tmp_path / "out",
        parent=parent,
        progress=lambda _, share, of: shares.append(share),
        **asked,
    )
    assert min(shares) > 0.6
    whole = train_with_recipe(None, RECIPE, tmp_path / "whole", parent=parent, **asked)
    assert (resumed["curve"], resumed["test"]) == (whole["curve"], whole["test"])


def test_what_came_from_a_parent_keeps_its_images_on_other_classes(trained, few_images, tmp_path):
    folder, result = trained
    fine_tune(folder, tmp_path / "again", RECIPE, data=few_images, epochs=1)
    first, second = read_preprocessing(folder), read_preprocessing(tmp_path / "again")
    assert (second.mean, second.std, second.crop) == (first.mean, first.std, first.crop)
    manifest = json.loads((tmp_path / "again" / "emission.json").read_text())
    assert manifest["parent"] == result["parent"]
    assert manifest["origin"]["name"] == "out"


def test_epochs_follow_from_the_number_of_images(parent, few_images, tmp_path, monkeypatch):
    asked = []

    def one_epoch(*arguments):
        asked.append(arguments)
        return 1

    monkeypatch.setattr(_standalone, "default_epochs", one_epoch)
    train_with_recipe(None, RECIPE, tmp_path / "out", data=few_images, resolution=16, parent=parent)
    assert asked == [(320, "parent", "final")]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"parent": "nothing"}, "parent 'nothing' is no network with weights"),
        ({"parent": "{own}", "model": "{child}"}, "the parent net takes part whole; leave `model` out"),
        ({"parent": "{parent}", "model": "torchvision:resnet18"}, "no child of the parent small; give a"),
        ({"parent": "{parent}", "model": "{stranger}"}, "a child has every stage of its parent"),
        ({"parent": "{parent}", "resolution": 0}, "resolution is 0"),
        (
            {"parent": "{gray}", "data": "{color}"},
            r"parent small takes images of 1 channel\(s\), and the data has 3",
        ),
        ({"model": None}, "model is missing; give one, or start from a `parent`"),
        ({"model": "{child}"}, "recipe is missing; give one, or start from a `parent`"),
    ],
)
def test_what_cannot_start_is_one_sentence(
    given, said, own, child, parent, few_images, tmp_path, monkeypatch
):
    monkeypatch.setattr(_standalone, "run_trial", None)  # nothing is trained
    file = parent.partition("=")[0]
    definition = read_definition(file)
    stranger = definition.model_copy(update={"stages": definition.stages[:-1]})
    (tmp_path / "stranger.json").write_text(stranger.to_json())
    save_weights(create_model(definition, 7, 1), tmp_path / "gray.safetensors")
    images = [(np.full((16, 16, 3), 90 * label, np.uint8), label) for label in (0, 1)]
    save_dataset(dataset_from(images, images, images), tmp_path / "color.safetensors")
    names = {
        "own": own,
        "child": child,
        "parent": parent,
        "stranger": str(tmp_path / "stranger.json"),
        "gray": f"{file}={tmp_path / 'gray.safetensors'}",
        "color": str(tmp_path / "color.safetensors"),
    }
    filled = {
        name: value.format(**names) if isinstance(value, str) else value for name, value in given.items()
    }
    model, data = filled.pop("model", None), filled.pop("data", few_images)
    with pytest.raises(UserError, match=said) as error:
        train_with_recipe(model, None, tmp_path / "out", data=data, **filled)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / ".out.training").exists()
