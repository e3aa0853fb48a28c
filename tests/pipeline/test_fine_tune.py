"""A found network on other classes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from narsfast.arch import Definition, Network, NetworkSpec, Row, create, save_weights
from narsfast.data import dataset_from, load_data, save_dataset, shared_data
from narsfast.emit import Measurements, describe_data, emit, load, read_preprocessing
from narsfast.errors import UserError
from narsfast.pipeline import _standalone, fine_tune, train_with_recipe
from narsfast.space import Recipe
from narsfast.training import StartingPoint, evaluate, train

RECIPE = Recipe(learning_rate=0.01, batch_size=16, dropout=0.1, drop_path=0.1)
DEFINITION = Definition(
    name="own",
    resolution=16,
    stem_channels=8,
    stages=((Row(3, 1, 8, 1, 2, False),), (Row(3, 2, 16, 2, 1, True),)),
    head_expansion=2,
    head_features=32,
)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Emit a network for the ten digits, whose weights are all other than fresh ones."""
    folder = tmp_path_factory.mktemp("found") / "macs-1M"
    network = create(DEFINITION, 10, 1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05)
    measured = Measurements("macs<=1M", {"macs": 1, "params": 2}, 1.0, 2.0, 3.0, 1, 0, "f" * 16)
    emit(folder, network, RECIPE, describe_data(load_data("digits")), measured)
    return folder


def unlisted(folder):
    """Have the folder say nothing of the hashes of its files."""
    manifest = json.loads((folder / "emission.json").read_text())
    del manifest["sha256"]
    (folder / "emission.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Write a data set of three classes, of which one has few images; it is darker than the digits."""
    digits = load_data("digits")
    splits = []
    for split, counts in ((digits.train, (40, 20, 4)), (digits.val, (8, 8, 8)), (digits.test, (8, 8, 8))):
        indices = np.concatenate([np.flatnonzero(split.labels == c)[:n] for c, n in enumerate(counts)])
        images = split.images.read(indices)
        splits.append(
            [(np.asarray(i) // 2, int(split.labels[j])) for i, j in zip(images, indices, strict=True)]
        )
    file = tmp_path_factory.mktemp("data") / "three.safetensors"
    save_dataset(dataset_from(*splits, classes=["zero", "one", "two"], mirror=False), file)
    return str(file)


@pytest.fixture(scope="module")
def tuned(found, three, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned") / "out"
    return folder, fine_tune(found, folder, data=three, epochs=1, seed=3)


def test_folder_is_that_of_a_network_for_the_new_classes(tuned, three):
    folder, result = tuned
    network, data = load(folder), shared_data(three, 16)
    assert isinstance(network, Network)
    assert network.head.classifier.weight.shape == (3, 32)
    assert evaluate(network, data.test, 16).accuracy == result["test"]
    facts = read_preprocessing(folder)
    assert facts.classes == ("zero", "one", "two")
    assert facts.mean == data.preprocess.mean != load_data("digits").preprocess.mean
    assert (facts.resolution, result["resolution"]) == (16, 16)
    assert result["recipe"] == RECIPE.model_dump(mode="json")
    manifest = json.loads((folder / "emission.json").read_text())
    assert result["balanced_accuracy"] == manifest["balanced_accuracy"]
    assert [row["class"] for row in manifest["by_class"]] == ["zero", "one", "two"]


def test_training_and_card_say_where_it_came_from(tuned, found):
    folder, result = tuned
    assert json.loads((folder / "training.json").read_text()) == json.loads(json.dumps(result))
    assert result["from"]["folder"] == str(found.resolve())
    assert (result["from"]["name"], result["from"]["candidate"]) == ("macs-1M", "f" * 16)
    assert len(result["from"]["classes"]) == 10
    weights = json.loads((found / "emission.json").read_text())["sha256"]["weights.safetensors"]
    assert result["from"]["sha256"] == weights
    assert "fine-tuned by narsfast" in (folder / "README.md").read_text()


def test_all_weights_but_the_classifier_are_taken(found, three):
    """A training without a step to speak of shows what it started with."""
    data, still = load_data(three), RECIPE.model_copy(update={"learning_rate": 1e-12, "ema": False})
    start = StartingPoint(str(found / "weights.safetensors"))
    trained = train(NetworkSpec.of(DEFINITION), still, data, 1, 5, keep_network=True, start=start)
    fresh = train(NetworkSpec.of(DEFINITION), still, data, 1, 5, keep_network=True)
    stored, state = load_file(found / "weights.safetensors"), trained.network.state_dict()
    parameters = [name for name, _ in trained.network.named_parameters()]
    for name in parameters:
        if name.startswith("head.classifier."):
            torch.testing.assert_close(state[name], fresh.network.state_dict()[name])
        else:
            torch.testing.assert_close(state[name], stored[name])


def test_a_tuned_network_is_tuned_again(tuned, three, tmp_path):
    result = fine_tune(
        tuned[0],
        tmp_path / "again",
        RECIPE.model_copy(update={"class_balance": "loss"}),
        data=three,
        epochs=1,
    )
    assert result["from"]["name"] == "out"
    assert result["recipe"]["class_balance"] == "loss"


def test_padding_of_the_folder_is_kept(found, three, tmp_path):
    half = unlisted(Path(shutil.copytree(found, tmp_path / "half")))
    facts = json.loads((half / "preprocessing.json").read_text())
    (half / "preprocessing.json").write_text(json.dumps(facts | {"padding": "half"}))
    result = fine_tune(half, tmp_path / "out", data=three, epochs=1)
    assert read_preprocessing(tmp_path / "out").padding == "half"
    data = shared_data(three, 16)
    assert evaluate(load(tmp_path / "out"), data.test, 16).accuracy == result["test"]


def test_a_stopped_training_goes_on_and_of_other_weights_is_refused(found, three, tmp_path):
    class Stopped(BaseException):
        pass

    def stop(stage, share, of):
        if share > 0.6:  # in the second epoch, after the checkpoint of the first
            raise Stopped

    copy = unlisted(Path(shutil.copytree(found, tmp_path / "found")))
    with pytest.raises(Stopped):
        fine_tune(copy, tmp_path / "out", data=three, epochs=2, progress=stop)
    content = torch.load(tmp_path / ".out.training" / "checkpoint.pt", weights_only=True)
    assert (
        content["arguments"]["start"]
        == json.loads((found / "emission.json").read_text())["sha256"]["weights.safetensors"]
    )
    network = load(copy)
    with torch.no_grad():
        network.stem[0].weight.mul_(2)
    save_weights(network, copy / "weights.safetensors")
    with pytest.raises(UserError, match=r"training with other arguments.*start"):
        fine_tune(copy, tmp_path / "out", data=three, epochs=2)
    shutil.copyfile(found / "weights.safetensors", copy / "weights.safetensors")
    shares = []
    fine_tune(
        copy, tmp_path / "out", data=three, epochs=2, progress=lambda _, share, of: shares.append(share)
    )
    assert min(shares) > 0.6


@pytest.fixture
def color(tmp_path):
    images = [(np.full((16, 16, 3), 90 * label, np.uint8), label) for label in (0, 1)] * 2
    save_dataset(dataset_from(images, images, images), tmp_path / "color.safetensors")
    return str(tmp_path / "color.safetensors")


def test_images_of_other_channels_are_refused(found, color, tmp_path, monkeypatch):
    monkeypatch.setattr(_standalone, "run_trial", None)  # nothing is trained
    with pytest.raises(
        UserError, match=r"folder: .* takes images of 1 channel\(s\), and dataset has 3; start from"
    ):
        fine_tune(found, tmp_path / "out", data=color)
    assert not (tmp_path / "out").exists()


def test_folders_of_other_networks_are_refused(found, three, tmp_path, monkeypatch):
    monkeypatch.setattr(_standalone, "run_trial", None)
    other = Path(shutil.copytree(found, tmp_path / "other"))
    (other / "definition.json").unlink()
    manifest = json.loads((other / "emission.json").read_text())
    (other / "emission.json").write_text(json.dumps(manifest | {"model": "torchvision:resnet18"}))
    with pytest.raises(UserError, match="is torchvision:resnet18, not one that narsfast found or defined"):
        fine_tune(other, tmp_path / "out", data=three)
    (other / "emission.json").write_text("[]")
    with pytest.raises(UserError, match=r"without a definition.json"):
        fine_tune(other, tmp_path / "out", data=three)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"preprocessing.json is missing"):
        fine_tune(tmp_path / "empty", tmp_path / "out", data=three)
    with pytest.raises(UserError, match="is not a folder"):
        fine_tune(tmp_path / "nothing", tmp_path / "out", data=three)
    lost = Path(shutil.copytree(found, tmp_path / "lost"))
    (lost / "weights.safetensors").unlink()
    with pytest.raises(UserError, match=r"weights.safetensors' cannot be read \(No such file or directory\)"):
        fine_tune(lost, tmp_path / "out", data=three)
    (lost / "weights.safetensors").touch()
    (lost / "emission.json").write_text("{}")
    with pytest.raises(UserError, match="does not say what the network was trained on"):
        fine_tune(lost, tmp_path / "out", data=three)
    with pytest.raises(UserError, match="the folder that the training starts from; name another one"):
        fine_tune(found, found, data=three)


def test_weights_of_another_architecture_are_refused(found, three, tmp_path):
    other = unlisted(Path(shutil.copytree(found, tmp_path / "other")))
    definition = json.loads((other / "definition.json").read_text())
    (other / "definition.json").write_text(json.dumps(definition | {"stem_channels": 16}))
    with pytest.raises(UserError, match="do not fit the network"):
        fine_tune(other, tmp_path / "out", data=three)


def test_files_that_were_not_emitted_are_refused(found, three, tmp_path, monkeypatch):
    monkeypatch.setattr(_standalone, "run_trial", None)
    other = Path(shutil.copytree(found, tmp_path / "other"))
    save_weights(create(DEFINITION, 10, 1), other / "weights.safetensors")
    said = "its SHA-256 differs .* copy the folder again, or take sha256 out of emission.json if the change is intended"
    with pytest.raises(UserError, match=said):
        fine_tune(other, tmp_path / "out", data=three)


def test_epochs_that_are_not_given_follow_from_the_start(found, three, tmp_path, monkeypatch):
    asked = []

    def one_epoch(*arguments):
        asked.append(arguments)
        return 1

    monkeypatch.setattr(_standalone, "default_epochs", one_epoch)
    assert fine_tune(found, tmp_path / "tuned", data=three)["epochs"] == 1
    assert train_with_recipe(str(found), RECIPE, tmp_path / "new", data=three)["epochs"] == 1
    assert asked == [(64, "parent", "final"), (64, "scratch", "final")]


def test_trainings_from_scratch_say_nothing_of_a_start(found, three, tmp_path):
    result = train_with_recipe(str(found), RECIPE, tmp_path / "out", data=three, epochs=1)
    assert "from" not in result
    assert "from scratch" in (tmp_path / "out" / "README.md").read_text()
