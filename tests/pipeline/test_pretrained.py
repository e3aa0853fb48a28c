"""Searches for the recipe that fine-tunes one pretrained network."""

import json
import shutil
from pathlib import Path

import pytest
import torch

import narsfast
from narsfast import pipeline
from narsfast.arch import read_definition
from narsfast.errors import UserError
from narsfast.pipeline._config import RunConfig, resolve_config
from narsfast.runs import RunStore
from narsfast.space import Space, default_recipe
from narsfast.training import InheritedStart

pytestmark = pytest.mark.usefixtures("always_few_steps")

FIXED = {"batch_size": 32, "augmentation": "crop", "frozen": 0.0}


@pytest.fixture(scope="module")
def options(few_images, smallest):
    given = {name: value for name, value in smallest.items() if not name.endswith(("space", "epochs"))}
    return given | {"pretrained": True}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, options, parent, recorded):
    path = tmp_path_factory.mktemp("runs") / "run"
    given = options | {"model": parent, "epochs": 1, "final_epochs": 1, "fix": FIXED}
    with recorded() as tasks:
        results = pipeline.run(path, given, workers=1)
    return path, results, tasks, given


def test_every_training_starts_from_the_weights(finished, parent):
    path, (result,), tasks, _ = finished
    definition = read_definition(parent.partition("=")[0])
    assert result.budget == "the recipe"
    for task in tasks:
        assert task.start == InheritedStart(str(path / "parents" / "small.safetensors"))
        assert task.network.source.stages == definition.stages
        assert task.network.resolution == definition.resolution
        assert task.preparation.mean == pytest.approx((0.485, 0.456, 0.406))
    first = tasks[0].recipe
    assert first == {name: getattr(default_recipe("finetune"), name) for name in first} | FIXED
    assert len({json.dumps(task.recipe) for task in tasks}) > 1


def test_what_is_emitted_is_the_network_with_its_provenance(finished):
    path, (result,), _, _ = finished
    folder = path / result.directory
    emission = json.loads((folder / "emission.json").read_text())
    assert emission["parent"]["name"] == "small"
    assert emission["statistics"]["macs"] == result.macs
    assert "the training recipe that" in (folder / "README.md").read_text()
    assert narsfast.load(folder)(torch.zeros(1, 1, 32, 32)).shape == (1, 10)
    found = narsfast.Run(path).best()
    assert found.architecture.stages == narsfast.load(folder).definition.stages
    assert "Recipe of " in (path / "report.html").read_text()


def test_the_same_command_and_none_at_all_resume(finished, parent, tmp_path, forget_finals, monkeypatch):
    path, results, _, given = finished
    monkeypatch.setattr("narsfast.pipeline._trials.run_trials", None)
    assert pipeline.run(path, given, workers=1) == results
    copy = tmp_path / "run"
    shutil.copytree(path, copy)
    monkeypatch.undo()
    monkeypatch.setattr("narsfast.arch._parents.read_tensor_file", None)  # the weights are in the run
    with RunStore.open(copy, None) as run:
        forget_finals(run)
        run.facts.stage = "train"
    assert [result.test for result in pipeline.run(copy, workers=1)] == [result.test for result in results]


def test_a_network_that_is_no_definition(options, own, tmp_path, caplog):
    given = options | {"model": own, "fix": FIXED | {"resolution": 12}, "epochs": 1, "final_epochs": 1}
    (result,) = pipeline.run(tmp_path / "run", given, workers=1)
    assert "drop_path is fixed at 0" in caplog.text
    emission = json.loads((tmp_path / "run" / result.directory / "emission.json").read_text())
    assert (emission["model"], emission["parent"]["name"]) == ("model.py:net", "net")
    with RunStore.read(tmp_path / "run") as run:
        assert run.facts.versions["model"].startswith("sha256 ")
        assert run.facts.model_statistics == emission["statistics"]


def test_what_a_run_has_by_default(options, own, parent, tmp_path):
    """The network's own side, recipes of fine-tuning, and epochs by the number of images."""
    space = Space.from_dict(resolve_config(options | {"model": parent}).space)
    assert space.values("resolution") == (32,)
    assert "layer_decay" in {field.name for field in space.fields}
    assert Space.from_dict(resolve_config(options | {"model": own}).space).values("resolution") == (224,)
    given = options | {"model": parent, "recipe_space": "paper"}
    assert "layer_decay" not in {field.name for field in Space.from_dict(resolve_config(given).space).fields}
    with pipeline.open_search(tmp_path / "run", options | {"model": parent}) as search:
        assert (search.config.epochs, search.config.final_epochs) == (18, 54)


def test_a_run_without_it_is_stored_as_before(smallest, parent):
    stored = resolve_config(smallest).to_stored()
    assert "pretrained" not in stored
    assert RunConfig.of_stored(stored).pretrained is False


def test_whole_networks_among_several_take_no_recipe_that_they_cannot(options, own, parent):
    """A trial whose network has no stochastic depth would end the whole search."""
    given = {name: value for name, value in options.items() if name != "pretrained"}
    given |= {"budgets": ["macs=1G"]}
    config = resolve_config(given | {"parents": [parent, own]})
    assert resolve_config({}, config.to_stored()) == config
    both = Space.from_dict(config.space)
    for candidate in both.decode(both.random(200, 0)):
        assert ("drop_path" in candidate.recipe) == (candidate.architecture["parent"] == "small")
        assert "dropout" in candidate.recipe
    alone = Space.from_dict(resolve_config(given | {"parents": [own]}).space)
    assert alone.values("drop_path") == (0.0,)
    with pytest.raises(UserError, match=r"drop_path is 0.1; net has no stochastic depth"):
        resolve_config(given | {"parents": [own], "fix": {"drop_path": 0.1}})


def test_an_emitted_folder(finished, options, tmp_path, monkeypatch):
    path, (result,), _, _ = finished
    folder = path / result.directory
    monkeypatch.chdir(folder.parent)
    config = resolve_config(options | {"model": folder.name})
    assert config.model == str(folder)
    assert Space.from_dict(config.space).parents[0].definition is not None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "pretrained is given without a model"),
        ({"model": "FBNetV3_A"}, "parent 'FBNetV3_A' is no network with weights"),
        ({"model": "timm:test_nfnet_none"}, "model timm:test_nfnet_none is not known"),
        ({"model": "nets.py:net"}, "is no network with weights"),
        ({"model": "{parent}", "budgets": ["macs=1M"]}, "budgets is given with a model"),
        ({"model": "{parent}", "fix": {"resolution": 0}}, "resolution is 0"),
        ({"parents": ["{parent}"], "model": "b", "pretrained": None}, "parents and model are both given"),
        ({"parents": ["{parent}"], "model": "{parent}"}, "parents and model are both given"),
        ({"parents": ["{parent}"]}, "pretrained is given without a model"),
    ],
)
def test_what_does_not_go_together_is_one_sentence(given, said, options, parent):
    filled = json.loads(json.dumps(given).replace("{parent}", parent))
    with pytest.raises(UserError, match=said) as error:
        resolve_config(options | filled)
    assert "\n" not in str(error.value)
    assert Path(parent.partition("=")[2]).is_file()
