"""Runs whose candidates are children of pretrained networks."""

import json
import shutil
from pathlib import Path

import pytest
import torch

import narsfast as nf
from narsfast import pipeline
from narsfast.arch import Kept, create_model, read_definition, save_weights
from narsfast.cost import Counter
from narsfast.errors import UserError
from narsfast.pipeline._config import resolve_config
from narsfast.pipeline._finals import final_task
from narsfast.pipeline._tuning import tune_parents
from narsfast.runs import RunStore, TeacherChoice
from narsfast.space import Space, default_recipe
from narsfast.training import InheritedStart

pytestmark = pytest.mark.usefixtures("always_few_steps")

RECIPE = {"optimizer": "sgd", "epochs_share": 1.0, "batch_size": 32, "augmentation": "crop", "frozen": 0.0}


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
def finished(tmp_path_factory, options, recorded):
    """Run a search from a parent, with the tasks that were trained."""
    path = tmp_path_factory.mktemp("runs") / "run"
    with recorded() as tasks:
        results = pipeline.run(path, options, workers=1)
    return path, results, tasks


def test_every_training_inherits(finished):
    path, results, tasks = finished
    tuning, *others = tasks
    parent = str(path / "parents" / "small.safetensors")
    assert len(others) in (3, 4)  # two trials, and the best of them if it is not what evolution found
    assert tuning.start == InheritedStart(parent)
    for task in others:
        assert task.start == InheritedStart(parent, tuned=f"{tuning.output}/weights.safetensors")
    for task in tasks:
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
    again = pipeline.run(copy, workers=1)
    assert [(result.candidate, result.test) for result in again] == [(r.candidate, r.test) for r in results]


def test_another_parent_is_refused(finished, tmp_path, options, parent):
    path, _, _ = finished
    copy = tmp_path / "run"
    shutil.copytree(path, copy)
    other = tmp_path / "other.safetensors"
    torch.manual_seed(1)
    save_weights(create_model(parent.partition("=")[0], 7, 3), other)
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


def test_a_parent_has_the_name_that_a_space_file_gives_it(tmp_path, options, parent):
    space = json.loads(json.dumps(resolve_config(options).space).replace('"small', '"mine'))
    space |= {"parents": [{"reference": parent, "name": "mine"}], "recipe": "finetune"}
    (tmp_path / "space.yaml").write_text(json.dumps(space))
    given = {name: value for name, value in options.items() if name not in ("parents", "fix")}
    given |= {"space": str(tmp_path / "space.yaml"), "distill": "parent"}
    with pipeline.open_search(tmp_path / "run", given, workers=1) as search:
        candidate = search.space.decode(search.pool.genes[:1])[0]
        tune_parents(search)
        for task in (search.task(candidate, 1, 1, "search"), search.task(candidate, 1, 1, "final")):
            assert Path(task.start.weights) == search.store.path / "parents" / "mine.safetensors"
            task.start.load(task.build(search.data))
        assert search.config.distill == "parent:mine"


def test_a_run_that_has_not_trained_takes_other_weights_of_the_same_name(tmp_path, options, parent):
    definition = parent.partition("=")[0]
    torch.manual_seed(2)
    save_weights(create_model(definition, 7, 3), tmp_path / "other.safetensors")
    for reference in (parent, f"{definition}={tmp_path / 'other.safetensors'}"):
        given = options | {"parents": [reference]}
        with pipeline.open_search(tmp_path / "run", given, workers=1) as search:
            assert search.parents["small"].sha256 == search.space.parents[0].sha256


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


@pytest.fixture
def untrained(finished, tmp_path, forget_finals):
    """Copy the run as it was before its final trainings."""
    copy = tmp_path / "run"
    shutil.copytree(finished[0], copy)
    with RunStore.open(copy, None) as run:
        forget_finals(run)
        run.facts.stage = "train"
    return copy


def test_the_parent_is_fine_tuned_once_and_teaches(untrained, options, parent, trained):
    (result,) = pipeline.run(untrained, options | {"distill": "parent"}, workers=1)
    teacher, *finals = trained
    assert teacher.candidate == "parent:small"
    assert teacher.network.source.stages == read_definition(parent.partition("=")[0]).stages
    assert teacher.network.resolution == 32
    assert teacher.start == InheritedStart(str(untrained / "parents" / "small.safetensors"))
    assert teacher.recipe["learning_rate"] == default_recipe("finetune").learning_rate
    for final in finals:
        told = final.distillation
        assert told.weights == f"{teacher.output}/weights.safetensors"
        assert told.network == teacher.network
    assert told.mean == pytest.approx([(0.485 + 0.456 + 0.406) / 3])  # gray, as its own images were
    described = json.loads((untrained / result.directory / "emission.json").read_text())["distillation"]
    assert (described["teacher"], described["resolution"], described["epochs"]) == ("parent:small", 32, 1)
    with RunStore.read(untrained) as run:
        (trial,) = (trial for trial in run.trials("baseline") if trial.candidate == "parent:small")
    assert described["validation"] == trial.curve[-1]
    card = (untrained / result.directory / "README.md").read_text()
    assert "fine-tuned for 1 epochs at 32 pixels" in card
    assert "distilled from parent:small (the pretrained network" in (untrained / "report.html").read_text()
    trained.clear()
    assert pipeline.run(untrained, options | {"distill": "parent"}, workers=1) == [result]
    assert trained == []


def test_a_network_of_the_run_teaches_with_the_images_of_its_own_parent(untrained):
    """Each parent normalizes otherwise: what the student sees is put into the teacher's numbers."""
    with pipeline.open_search(untrained, workers=1) as search:
        search.config = search.config.model_copy(update={"distill": "largest"})
        teacher, student = search.store.facts.families[0].candidates[:2]
        search.store.facts.teacher = TeacherChoice(candidate=teacher.id)
        told = final_task(search, student).distillation
        assert told.mean == search.data.prepared(search.parents["small"].preparation).preprocess.mean


@pytest.mark.parametrize(
    ("parents", "teacher", "said"),
    [
        ("", "parent", "distill is parent, and the run starts from no pretrained network"),
        ("", "parent:small", "distill is parent:small, and the run starts from no pretrained network"),
        ("small", "parent:other", "distill is parent:other; the run's parents are small"),
        ("small", "parent:", "distill is parent:; the run's parents are small"),
        ("small other", "parent", "has the parents small, other; name one, as in parent:small"),
    ],
)
def test_a_parent_that_teaches_is_one_of_the_run(tmp_path, options, parent, parents, teacher, said):
    definition, _, file = parent.partition("=")
    (tmp_path / "other.json").write_text(Path(definition).read_text().replace('"small"', '"other"'))
    references = {"small": parent, "other": f"{tmp_path / 'other.json'}={file}"}
    given = {name: value for name, value in options.items() if name not in ("parents", "fix")}
    if parents:
        given["parents"] = [references[name] for name in parents.split()]
    with pytest.raises(UserError, match=said):
        resolve_config(given | {"distill": teacher})
    if parents:
        name = parents.split()[-1]
        assert resolve_config(given | {"distill": f"parent:{name}"}).distill == f"parent:{name}"
