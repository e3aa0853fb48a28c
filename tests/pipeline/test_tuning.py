"""Parents that are fine-tuned before their children inherit from them."""

import json
import shutil

import pytest
import torch

from narsfast import pipeline
from narsfast.arch import read_weights
from narsfast.cost import Budget
from narsfast.errors import UserError
from narsfast.pipeline._anchors import whole_resolution
from narsfast.pipeline._config import resolve_config
from narsfast.pipeline._own import Own
from narsfast.pipeline._tuning import tune_parents, tuning_facts
from narsfast.runs import RunStore, forget_trial
from narsfast.space import default_recipe
from narsfast.training import InheritedStart

pytestmark = pytest.mark.usefixtures("always_few_steps")


@pytest.fixture(scope="module")
def options(few_images, smallest, parent):
    given = {name: value for name, value in smallest.items() if name != "space"}
    recipe = {"optimizer": "sgd", "epochs_share": 1.0, "batch_size": 32, "frozen": 0.0}
    return given | {"parents": [parent], "fix": recipe | {"resolution": 32}, "budgets": ["macs=600K"]}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, options, recorded):
    path = tmp_path_factory.mktemp("runs") / "run"
    with recorded() as tasks:
        results = pipeline.run(path, options, workers=1)
    return path, results, tasks


def test_a_parent_is_tuned_once_before_all_others(finished, options, tmp_path, recorded):
    path, _, (tuning, *others) = finished
    assert tuning.candidate == "tuned:small"
    assert tuning.epochs == tuning.schedule_epochs == options["epochs"]
    assert tuning.recipe == default_recipe("finetune").model_dump(mode="json")
    assert not any(task.candidate == tuning.candidate for task in others)
    shutil.copytree(path, tmp_path / "run")
    with RunStore.open(tmp_path / "run", None) as run:
        for trial in run.trials("final"):
            forget_trial(run, "final", trial.candidate)
        run.facts.stage = "train"
    with recorded() as tasks:
        pipeline.run(tmp_path / "run", workers=1)
    assert tasks
    assert not any(task.candidate == tuning.candidate for task in tasks)


def test_a_child_begins_with_the_classifier_that_was_tuned(finished):
    path, _, (tuning, *others) = finished
    tuned = read_weights(f"{tuning.output}/weights.safetensors")
    with pipeline.open_search(path, workers=1) as search:
        for task in others:
            network = task.build(search.data)
            task.start.load(network)
            assert torch.equal(network.state_dict()["head.classifier.bias"], tuned["head.classifier.bias"])
        whole = tuning.network.build(len(search.data.classes), search.data.in_chans)
        others[0].start.load(whole)
    state = whole.state_dict()
    assert state.keys() == tuned.keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in tuned.items())


def test_weights_that_are_lost_are_trained_again(finished, tmp_path, recorded):
    path, _, (tuning, *_) = finished
    shutil.copytree(path, tmp_path / "run")
    folder = tmp_path / "run" / "parents" / "small-tuned"
    (folder / "weights.safetensors").write_bytes(b"lost")
    with recorded() as tasks, pipeline.open_search(tmp_path / "run", workers=1) as search:
        tune_parents(search)
        tune_parents(search)
    assert [task.candidate for task in tasks] == [tuning.candidate]
    assert (
        read_weights(folder / "weights.safetensors").keys()
        == read_weights(f"{tuning.output}/weights.safetensors").keys()
    )


def test_what_is_emitted_says_it(finished):
    path, (result,), (tuning, *_) = finished
    told = json.loads((path / result.directory / "emission.json").read_text())["parent"]["tuned"]
    with RunStore.read(path) as run:
        (trial,) = run.trials("baseline")
    assert told == {"resolution": 32, "epochs": tuning.epochs, "validation": trial.curve[-1]}
    card = (path / result.directory / "README.md").read_text()
    assert "with its tuned classifier" in card
    assert "the parent was fine-tuned on the same data, at 32 px for 1 epochs" in " ".join(card.split())


@pytest.mark.parametrize(("change", "own"), [({"tune_parents": False}, None), ({}, Own(evaluate=print))])
def test_without_it_children_inherit_what_was_downloaded(tmp_path, options, change, own):
    with pipeline.open_search(tmp_path / "run", options | change, workers=1, own=own) as search:
        assert not search.tunes
        assert search.start_of_child("small") == search.start_from("small")
        assert search.start_from("small") == InheritedStart(str(tmp_path / "run/parents/small.safetensors"))
        assert tuning_facts(search, "small") == {}


def test_trainings_of_the_user_are_told_without_a_tuned_parent(finished, tmp_path):
    path, _, _ = finished
    shutil.copytree(path, tmp_path / "run")
    with pipeline.open_search(tmp_path / "run", workers=1) as search:
        assert tuning_facts(search, "small")
        forget_trial(search.store, "baseline", "tuned:small")
        assert search.tunes
        assert tuning_facts(search, "small") == {}


def test_the_recipe_of_one_network_starts_from_what_was_downloaded(tmp_path, options, parent):
    given = {name: value for name, value in options.items() if name not in ("parents", "budgets")}
    given |= {"model": parent, "pretrained": True, "pool_size": 16}
    with pipeline.open_search(tmp_path / "run", given, workers=1) as search:
        assert search.config.tune_parents
        assert not search.tunes


def test_runs_that_do_not_say_it_are_not_tuned():
    stored = resolve_config({}).to_stored()
    assert resolve_config({}, stored).tune_parents
    del stored["tune_parents"]
    assert not resolve_config({}, stored).tune_parents
    assert "tune_parents" not in resolve_config({"tune_parents": False}).to_stored()


def test_a_training_that_ends_badly_is_said(tmp_path, options, monkeypatch):
    from narsfast.common.trial import Trial

    def diverged(executor, run, tasks, **_):
        for task in tasks:
            yield Trial(task.candidate, (), "diverged", task.epochs, 0.0, "loss is nan")

    monkeypatch.setattr("narsfast.pipeline._trials.run_trials", diverged)
    with pytest.raises(UserError, match=r"fine-tuning of parent small .*tune_parents"):
        pipeline.run(tmp_path / "run", options, workers=1)


@pytest.mark.parametrize(("caps", "side"), [((600_000,), 16), ((600_000, 10**9), 32), ((1,), 16)])
def test_it_is_tuned_at_the_largest_side_that_a_budget_allows(tmp_path, options, caps, side):
    given = options | {"fix": {name: v for name, v in options["fix"].items() if name != "resolution"}}
    with pipeline.open_search(tmp_path / "run", given, workers=1) as search:
        sides = sorted(int(value) for value in search.space.values("resolution"))
        found = whole_resolution(search.counter, [Budget(macs=cap) for cap in caps], "small")
        assert found == {16: sides[0], 32: sides[-1]}[side]
