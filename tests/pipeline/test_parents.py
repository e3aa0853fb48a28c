"""Runs whose candidates are children of pretrained networks."""

import json
import shutil

import pytest
import torch

import narsfast as nf
from narsfast import pipeline
from narsfast.arch import Definition, Kept, create_model, save_weights
from narsfast.cost import Counter
from narsfast.errors import UserError
from narsfast.pipeline import _trials
from narsfast.pipeline._config import resolve_config
from narsfast.runs import RunStore
from narsfast.space import Space
from narsfast.training import InheritedStart

pytestmark = pytest.mark.usefixtures("always_few_steps")

DEFINITION = {
    "name": "small",
    "resolution": 32,
    "stem_channels": 16,
    "stages": [[[3, 1, 16, 1, 1, False]], [[3, 3, 16, 2, 2, True]], [[5, 3, 24, 2, 2, True]]],
    "head_expansion": 2,
    "head_features": None,
    "act": "relu6",
}
RECIPE = {"optimizer": "sgd", "epochs_share": 1.0, "batch_size": 32, "augmentation": "crop", "frozen": 0.0}


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    """Write a small network with its weights, and return how it is named as a parent."""
    folder = tmp_path_factory.mktemp("parents")
    torch.manual_seed(0)
    (folder / "small.json").write_text(json.dumps(DEFINITION))
    save_weights(create_model(Definition.from_dict(DEFINITION), 7, 3), folder / "small.safetensors")
    return f"{folder / 'small.json'}={folder / 'small.safetensors'}"


@pytest.fixture(scope="module")
def options(few_images, smallest, parent):
    given = {
        name: value for name, value in smallest.items() if name not in ("space", "epochs", "final_epochs")
    }
    return given | {
        "parents": [parent],
        "fix": RECIPE | {"resolution": 32},
        "budgets": ["macs=600K"],
        "epochs": 1,
        "final_epochs": 1,
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory, options):
    """Run a search from a parent, with the tasks that were trained."""
    tasks = []
    run_trials = _trials.run_trials

    def recording(executor, function, new, **settings):
        tasks.extend(new)
        return run_trials(executor, function, new, **settings)

    path = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("narsfast.pipeline._trials.run_trials", recording)
        results = pipeline.run(path, options, workers=1)
    return path, results, tasks


def test_every_training_inherits(finished):
    path, results, tasks = finished
    assert len(tasks) == 3
    for task in tasks:
        assert task.start == InheritedStart(str(path / "parents" / "small.safetensors"))
        assert task.preparation.mean == pytest.approx((0.485, 0.456, 0.406))
    assert len(results) == 1
    assert results[0].macs <= 600_000


def test_the_parent_itself_is_trained_first(finished):
    path, _, _ = finished
    with RunStore.read(path) as run:
        (first,) = (batch for batch in run.batches() if batch.index == 0)
    architecture = first.candidates[0].architecture
    assert architecture["small.stage2.depth"] == 2
    assert {value for name, value in architecture.items() if name.endswith(("width", "hidden"))} == {100}
    assert architecture["small.stage3.kernel"] == 5


def test_what_is_emitted_says_where_it_comes_from(finished):
    path, results, _ = finished
    folder = path / results[0].directory
    facts = json.loads((folder / "emission.json").read_text())["parent"]
    assert (facts["name"], facts["in_chans"], facts["num_classes"]) == ("small", 3, 7)
    assert facts["sha256"] in (folder / "README.md").read_text()
    kept = Kept.from_dict(json.loads((folder / "emission.json").read_text())["kept"])
    assert [part.name for part in kept.parts] == ["stem", "stage1", "stage2", "stage3", "head"]
    run = nf.Run(path)
    assert run.best().kept == kept
    trials = [trial.kept for trial in run.trials()]
    assert {trial.parent for trial in trials} == {"small"}
    assert any(trial.as_it_is for trial in trials)
    assert "parents-section" in (path / "report.html").read_text()
    mean = json.loads((folder / "preprocessing.json").read_text())["mean"]
    assert mean == pytest.approx([(0.485 + 0.456 + 0.406) / 3])


def test_best_says_what_was_kept(finished, run_narsfast):
    path, _, _ = finished
    kept = nf.Run(path).best().kept
    (row,) = json.loads(run_narsfast("best", path, "--json")[1])["results"]
    assert Kept.from_dict(row["kept"]) == kept
    assert kept.text() in " ".join(run_narsfast("best", path)[1].split())


def test_a_run_goes_on_without_the_file_that_it_came_from(finished, tmp_path, options, parent, forget_finals):
    path, results, _ = finished
    copy = tmp_path / "run"
    shutil.copytree(path, copy)
    with RunStore.open(copy, None) as run:
        forget_finals(run)
        run.facts.stage = "train"
    again = pipeline.run(copy)
    assert [(result.candidate, result.test) for result in again] == [(r.candidate, r.test) for r in results]


def test_another_parent_is_refused(finished, tmp_path, options, parent):
    path, _, _ = finished
    copy = tmp_path / "run"
    shutil.copytree(path, copy)
    other = tmp_path / "other.safetensors"
    torch.manual_seed(1)
    save_weights(create_model(Definition.from_dict(DEFINITION), 7, 3), other)
    with pytest.raises(UserError, match="space"):
        pipeline.run(copy, options | {"parents": [parent.partition("=")[0] + f"={other}"]})


def test_a_space_file_names_parents(tmp_path, options, parent):
    config = resolve_config(options)
    edited = {name: value for name, value in config.space.items() if name != "parents"}
    edited |= {"parents": [parent], "recipe": "finetune"}
    edited["architecture"] = config.space["architecture"] | {"small.stage2.depth": 1}
    file = tmp_path / "edited.yaml"
    file.write_text(json.dumps(edited))
    given = {name: value for name, value in options.items() if name not in ("parents", "fix")}
    space = Space.from_dict(resolve_config(given | {"space": str(file)}).space)
    assert space.values("small.stage2.depth") == (1,)
    assert space.parents == Space.from_dict(config.space).parents
    with pytest.raises(UserError, match="parents and space are both given"):
        resolve_config(options | {"space": str(file)})


def test_lengths_follow_from_the_number_of_images(tmp_path, options):
    given = {name: value for name, value in options.items() if name not in ("epochs", "final_epochs")}
    with pipeline.open_search(tmp_path / "run", given) as search:
        assert (search.config.epochs, search.config.final_epochs) == (18, 54)


def test_what_is_found_is_inside_its_budget(finished):
    path, results, _ = finished
    with RunStore.read(path) as run:
        space = Space.from_dict(run.config["space"])
        (family,) = run.facts.families
    genes = space.encode([found.candidate for found in family.candidates])
    assert (Counter(space, 1, 10)(genes)[:, 0] <= 600_000).all()
    assert results[0].candidate in {found.id for found in family.candidates}
