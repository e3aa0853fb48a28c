import json
import logging
import shutil
from pathlib import Path

import pytest
import torch

import narsfast
from narsfast import pipeline
from narsfast.errors import UserError
from narsfast.pipeline._config import resolve_config
from narsfast.pipeline._recipe_search import recipe_space
from narsfast.report import write_report
from narsfast.runs import RunStore
from narsfast.space import Space, load_space

pytestmark = pytest.mark.usefixtures("always_few_steps")

SMALL = Path(__file__).parent.parent / "small.yaml"
FACTORY = """
from torch import nn


def small(num_classes, in_chans):
    layers = [nn.Conv2d(in_chans, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(8, num_classes))


def sized(num_classes, in_chans):
    return nn.Sequential(nn.Flatten(), nn.Linear(100, num_classes))


def features(num_classes, in_chans):
    return nn.Sequential(nn.Conv2d(in_chans, 8, 3), nn.Dropout(0.1))
"""
SETTINGS = {
    "space": str(SMALL),
    "fix": {"resolution": 16},
    "trials_per_batch": 2,
    "finalists": 1,
    "iterations": 2,
    "epochs": 2,
    "final_epochs": 2,
    "ensemble_members": 2,
}


@pytest.fixture(scope="module")
def options(few_images):
    return {**SETTINGS, "data": few_images}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("nets") / "nets.py"
    path.write_text(FACTORY)
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory, file, options):
    path = tmp_path_factory.mktemp("runs") / "run"
    return path, pipeline.run(path, {**options, "model": f"{file}:small"}, workers=1)


def test_one_result_the_recipe(finished):
    path, (result,) = finished
    assert (result.budget, result.directory) == ("the recipe", "family/recipe")
    assert (result.macs, result.params) == (49 * 8 * 9 + 80, 8 * 9 + 8 + 16 + 90)
    with RunStore.read(path) as run:
        assert run.state().stage == "done"
        assert {member.architecture["resolution"] for b in run.batches() for member in b.candidates} == {16}
        recipes = [json.dumps(member.recipe) for b in run.batches() for member in b.candidates]
        assert len(set(recipes)) == 4
        assert result.candidate in {row.id for row in run.facts.families[0].candidates}
        write_report(run, path / "again.html")
    page = (path / "again.html").read_text()
    assert "the recipe is found" in page


def test_what_is_emitted_comes_back(finished, tmp_path):
    path, (result,) = finished
    folder = tmp_path / "moved"
    shutil.copytree(path / result.directory, folder)
    emission = json.loads((folder / "emission.json").read_text())
    assert emission["model"] == "model.py:small"
    assert emission["statistics"] == {"macs": result.macs, "params": result.params}
    assert "model.py" in emission["sha256"]
    assert {"recipe.json", "weights.safetensors", "README.md"} <= {entry.name for entry in folder.iterdir()}
    assert not (folder / "definition.json").exists()
    network = narsfast.load(folder, run_code=True)
    assert network(torch.zeros(2, 1, 16, 16)).shape == (2, 10)
    assert "timm_args" not in (folder / "README.md").read_text()


def test_a_finished_run_is_free(finished, monkeypatch):
    path, results = finished
    monkeypatch.setattr("narsfast.pipeline._trials.run_trials", None)
    monkeypatch.setattr("narsfast.pipeline._final_test.evaluate", None)
    assert pipeline.run(path) == results


def test_a_further_budget_is_refused(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "run")
    with (
        pipeline.open_search(tmp_path / "run") as search,
        pytest.raises(UserError, match=r"budgets is given with a model.*leave `budgets` out"),
    ):
        pipeline.evolve(search, ["macs=1M"])


def test_a_changed_file_is_refused_once_something_is_trained(finished, tmp_path, file, options):
    copy, nets = tmp_path / "run", tmp_path / "nets.py"
    nets.write_text(FACTORY)
    options = {**options, "model": f"{nets}:small"}
    with pipeline.open_search(copy, options, workers=1) as search:
        pipeline.pretrain(search)
    nets.write_text(FACTORY + "\n# mended before any training\n")
    with pipeline.open_search(copy, workers=1) as search:
        pipeline.optimize(search)
    nets.write_text(FACTORY)
    with pytest.raises(UserError, match=r"another environment: model .*sha256 \w+.*sha256"):
        pipeline.open_search(copy)


@pytest.mark.parametrize(
    ("factory", "said"),
    [("sized", "cannot take images of 1 x 16 x 16"), ("features", "should give logits of shape")],
)
def test_a_network_that_does_not_fit_is_refused_before_any_training(tmp_path, file, factory, said, options):
    with pytest.raises(UserError, match=said):
        pipeline.run(tmp_path / "run", {**options, "model": f"{file}:{factory}"}, workers=1)
    with RunStore.read(tmp_path / "run") as run:
        assert run.batches() == []


def test_a_network_of_ours_is_emitted_with_its_definition(tmp_path, options):
    definition = narsfast.zoo()["FBNetV3_A0"]
    path = tmp_path / "own.json"
    rows = ((definition.rows[0],),)
    path.write_text(definition.model_copy(update={"stages": rows, "head_features": 16}).to_json())
    (result,) = pipeline.run(tmp_path / "run", {**options, "model": str(path)}, workers=1)
    emitted = tmp_path / "run" / result.directory
    assert json.loads((emitted / "definition.json").read_text())["resolution"] == 16
    assert json.loads((emitted / "emission.json").read_text())["statistics"]["depth"] > 3
    assert narsfast.load(emitted)(torch.zeros(1, 1, 16, 16)).shape == (1, 10)


def test_the_space_is_the_recipe_s(caplog):
    tiny = load_space("tiny")
    with caplog.at_level(logging.WARNING, "narsfast.model"):
        space = recipe_space(tiny, "torchvision:resnet18", {"optimizer": "sgd"})
    assert caplog.messages == ["drop_path is fixed at 0: torchvision:resnet18 has no stochastic depth"]
    assert [field.name for field in space.fields if field.part == "architecture"] == ["resolution"]
    assert (space.values("resolution"), space.values("drop_path"), space.values("optimizer")) == (
        (32,),
        (0.0,),
        ("sgd",),
    )
    assert space.values("mixup") == tiny.values("mixup")
    assert not space.searches_architecture
    caplog.clear()
    assert recipe_space(space, "torchvision:resnet18", {}) == space
    assert not caplog.messages


def test_resolutions():
    mobile = load_space("mobile")
    assert recipe_space(mobile, "torchvision:resnet18", {}).values("resolution") == (96,)
    assert recipe_space(mobile, "torchvision:resnet18", {"resolution": 225}).values("resolution") == (225,)
    assert recipe_space(mobile, "b", {}).values("resolution") == (248,)
    with pytest.raises(UserError, match="resolution is 'big'; give whole pixels"):
        recipe_space(mobile, "b", {"resolution": "big"})
    with pytest.raises(UserError, match=r"drop_path is 0.1; torchvision:resnet18 has no stochastic depth"):
        recipe_space(mobile, "torchvision:resnet18", {"drop_path": 0.1})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"budgets": ["macs=1M"]}, "budgets is given with a model"),
        ({"pool_bounds": "macs=1M:2M"}, "pool_bounds is given with a model"),
        ({"latency": "table.json"}, "latency is given with a model"),
        ({"model": "torchvision:resnet19"}, "torchvision:resnet19 is not a known classifier"),
        ({"model": "resnet18"}, "the zoo has"),
        ({"model": "nowhere.py:net"}, "does not exist"),
    ],
)
def test_mistakes_are_one_sentence(options, said):
    with pytest.raises(UserError, match=said):
        resolve_config({"model": "torchvision:resnet18", **options})


def test_going_on_keeps_the_model():
    stored = resolve_config({"model": "b", "space": "tiny"}).model_dump(mode="json")
    assert resolve_config({}, stored).model_dump(mode="json") == stored
    assert (stored["budgets"], stored["pool_bounds"], stored["pool_size"]) == ([], None, 2048)
    few = resolve_config({"model": "b", "space": str(SMALL)})
    assert few.pool_size == Space.from_dict(few.space).size() == 28


def test_fields_of_a_recipe_that_the_space_does_not_have_can_be_fixed():
    tiny = load_space("tiny")
    own = recipe_space(tiny, "b", {"class_balance": "sampling", "color": 0})
    assert own.values("class_balance") == ("sampling",)
    assert repr(own.values("color")) == "(0.0,)"
    assert recipe_space(own, "b", {"class_balance": "sampling"}) == own
    with pytest.raises(
        UserError, match=r"fix.class_balance is 'both'; it must be 'none', 'sampling' or 'loss'"
    ):
        recipe_space(tiny, "b", {"class_balance": "both"})
    alone = Space.from_dict({"name": "mine", "architecture": {"resolution": 32}, "recipe": {"mixup": 0.2}})
    with pytest.raises(
        UserError, match=r"drop_path is 0.1; torchvision:squeezenet1_1 has no stochastic depth"
    ):
        recipe_space(alone, "torchvision:squeezenet1_1", {"drop_path": 0.1})
