import json
import logging
import shutil
import subprocess

import pytest

from narsfast import pipeline
from narsfast.arch import NetworkSpec, create_model, read_definition, save_weights
from narsfast.common.trial import Trial
from narsfast.errors import UserError
from narsfast.pipeline._config import resolve_config
from narsfast.pipeline._finals import RaceState, final_task, first_to_train
from narsfast.runs import RunStore, TeacherChoice
from narsfast.training import CHECKPOINT_FILE

pytestmark = pytest.mark.usefixtures("always_few_steps")

FAILING = """
from torch import nn


class Failing(nn.Module):
    def __init__(self, num_classes, in_chans):
        super().__init__()
        self.layers = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(in_chans, num_classes))

    def forward(self, images):
        if self.training:
            raise RuntimeError("not in training")
        return self.layers(images)


def failing(num_classes, in_chans):
    return Failing(num_classes, in_chans)
"""


@pytest.fixture(scope="module")
def reference(networks):
    return f"{networks}:net"


@pytest.fixture(scope="module")
def finished(tmp_path_factory, smallest):
    """Run a search whose largest network taught the other."""
    path = tmp_path_factory.mktemp("runs") / "run"
    results = pipeline.run(path, {**smallest, "distill": "largest", "distill_temperature": 2}, workers=1)
    assert len({result.candidate for result in results}) == 2
    return path, results


@pytest.fixture
def copy(finished, tmp_path):
    subprocess.run(["cp", "-r", finished[0], tmp_path / "run"], check=True)
    return tmp_path / "run"


def emission(path, result):
    return json.loads((path / result.directory / "emission.json").read_text())


def test_the_largest_teaches_the_others(finished):
    path, results = finished
    small, large = sorted(results, key=lambda result: result.macs)
    assert emission(path, large)["distillation"] is None
    assert emission(path, small)["distillation"] == {
        "teacher": "largest",
        "candidate": large.candidate,
        "weight": 0.8,
        "temperature": 2.0,
    }
    card = (path / small.directory / "README.md").read_text()
    assert f"Distilled from `largest` (candidate `{large.candidate}`" in card
    assert "Distilled" not in (path / large.directory / "README.md").read_text()
    page = (path / "report.html").read_text()
    assert f"are distilled from largest ({large.budget.replace('<', '&lt;')}, itself not distilled)" in page


def test_the_search_has_no_teacher_and_neither_has_the_teacher(tmp_path, trained, smallest):
    pipeline.run(tmp_path / "run", {**smallest, "distill": "largest"}, workers=1)
    *searched, first, second = trained
    assert [task.distillation for task in searched] == [None, None]
    assert first.distillation is None
    assert second.distillation.weights == f"{first.output}/weights.safetensors"
    assert second.distillation.network == first.network
    assert (second.distillation.weight, second.distillation.temperature) == (0.8, 1.0)


def test_going_on_trains_no_teacher_again(finished, copy, trained, forget_finals):
    """Stopped between the teacher's training and those of the others."""
    _, results = finished
    large = max(results, key=lambda result: result.macs)
    with RunStore.open(copy, None) as run:
        keep = next(trial for trial in run.trials("final") if trial.candidate == large.candidate)
        forget_finals(run, teacher=True)
        run.add_trial(keep, "final")
        run.facts.stage = "train"
    assert pipeline.run(copy, workers=1) == results
    assert [task.candidate for task in trained] == [r.candidate for r in results if r != large]


def test_a_larger_network_that_comes_later_learns_from_the_first_teacher(finished, copy, trained):
    large = max(finished[1], key=lambda result: result.macs)
    with pipeline.open_search(copy, workers=1) as search:
        pipeline.evolve(search, [f"macs={large.macs + 1}:1M"])
        pipeline.train(search)
    (task,) = trained
    assert large.candidate in task.distillation.weights


def test_a_teacher_that_ends_badly_gives_way_to_the_next(finished, copy, monkeypatch, trained):
    with pipeline.open_search(copy, workers=1) as search:
        families = pipeline.evolve(search)
        largest = families[1].candidates[0].id
        search.store.facts.teacher = None
        stored = search.store.trials

        def with_a_failure(purpose):
            found = [trial for trial in stored(purpose) if trial.candidate != largest]
            bad = Trial(largest, (), "diverged", 2, 0.0, "the loss is not finite")
            return [*found, bad] if purpose == "final" else found

        monkeypatch.setattr(search.store, "trials", with_a_failure)
        pipeline.train(search)
        teacher = search.store.facts.teacher.candidate
    assert teacher != largest
    assert all(task.distillation is None or teacher in task.distillation.weights for task in trained)


def test_a_network_named_by_its_reference_is_trained_first_and_once(
    tmp_path, reference, trained, smallest, forget_finals
):
    options = {**smallest, "distill": reference, "baselines": [reference], "distill_weight": 0.5}
    results = pipeline.run(tmp_path / "run", options, workers=1)
    *_, teacher, first, second = trained
    assert teacher.candidate == reference
    for task in (first, second):
        assert task.distillation.weights == f"{teacher.output}/weights.safetensors"
        assert task.distillation.network.source == reference
        assert task.distillation.weight == 0.5
    assert emission(tmp_path / "run", results[0])["distillation"]["teacher"] == reference
    with RunStore.open(tmp_path / "run", None) as run:
        assert len(run.trials("baseline")) == 1
        (row,) = run.facts.baselines
        assert row.test > 30
        forget_finals(run)
    trained.clear()
    assert pipeline.run(tmp_path / "run", workers=1) == results
    assert len(trained) == 2


def tasks_with(path, teacher):
    """Return the task of a candidate that a finished run has not trained, as if the run had this teacher."""
    with pipeline.open_search(path, workers=1) as search:
        search.config = search.config.model_copy(update={"distill": teacher})
        search.store.facts.teacher = None
        family = search.store.facts.families[0]
        return final_task(search, family.candidates[-1])


def test_an_emitted_folder_teaches(finished, copy, tmp_path):
    path, results = finished
    folder = tmp_path / "lr=0.1" / "found"
    shutil.copytree(path / results[1].directory, folder)
    assert resolve_config({"distill": str(folder)}).distill == str(folder)
    told = tasks_with(copy, str(folder)).distillation
    facts = json.loads((folder / "preprocessing.json").read_text())
    assert told.weights == str(folder / "weights.safetensors")
    assert told.network == NetworkSpec.of(read_definition(folder / "definition.json"))
    assert told.resize
    assert (told.network.resolution, list(told.mean), list(told.std)) == (16, facts["mean"], facts["std"])


def test_weights_of_a_reference_teach_until_they_change(copy, reference, tmp_path):
    file = tmp_path / "w.safetensors"
    save_weights(create_model(reference, 10, 1), file)
    text = f"{reference}={file}"
    told = tasks_with(copy, text).distillation
    assert (told.weights, told.network.source, told.resize) == (str(file), reference, False)
    with pipeline.open_search(copy, workers=1) as search:
        search.config = search.config.model_copy(update={"distill": text})
        search.store.facts.teacher = TeacherChoice(sha256="other")
        row = search.store.facts.families[0].candidates[-1]
        with pytest.raises(UserError, match="has changed since the first network was distilled"):
            final_task(search, row)


@pytest.mark.parametrize(
    ("teacher", "said"),
    [
        ("nowhere/at-all", "distill is 'nowhere/at-all', no folder of an emitted network"),
        ("torchvision:resnet19", "torchvision:resnet19 is not a known classifier"),
        ("torchvision:resnet18=gone.safetensors", "gone.safetensors' cannot be read"),
        ("{empty}", "preprocessing.json is missing"),
        ("{broken}", "cannot take images of 1 x 16 x 16"),
        ("{other}", "knows 2 classes"),
    ],
)
def test_a_wrong_teacher_is_one_sentence_before_any_training(
    finished, tmp_path, teacher, said, smallest, networks
):
    path, results = finished
    (tmp_path / "empty").mkdir()
    subprocess.run(["cp", "-r", path / results[0].directory, tmp_path / "other"], check=True)
    facts = json.loads((tmp_path / "other" / "preprocessing.json").read_text())
    (tmp_path / "other" / "preprocessing.json").write_text(json.dumps({**facts, "classes": ["a", "b"]}))
    teacher = teacher.format(empty=tmp_path / "empty", other=tmp_path / "other", broken=f"{networks}:broken")
    with pytest.raises(UserError, match=said) as error:
        pipeline.run(tmp_path / "run", {**smallest, "distill": teacher}, workers=1)
    assert "\n" not in str(error.value)
    if (tmp_path / "run").exists():  # a name that is not known is refused before there is a run
        with RunStore.read(tmp_path / "run") as run:
            assert run.batches() == []


def test_one_network_alone_has_nobody_to_teach(tmp_path, smallest):
    with pytest.raises(UserError, match="with one budget no other network is left"):
        pipeline.open_search(tmp_path / "run", {**smallest, "budgets": ["macs=200K"], "distill": "largest"})
    with pytest.raises(UserError, match=r"distill_weight is 1.5; it must be less than or equal to 1"):
        pipeline.open_search(tmp_path / "run", {**smallest, "distill": "largest", "distill_weight": 1.5})


def test_after_a_teacher_whose_training_fails_the_run_goes_on_with_another_or_none(
    tmp_path, networks, smallest, trained
):
    teachers = tmp_path / "teachers.py"
    teachers.write_text(FAILING)
    path = tmp_path / "run"
    with pytest.raises(
        UserError, match=r"training of the teacher .*teachers.py:failing failed .* name another teacher"
    ):
        pipeline.run(path, {**smallest, "distill": f"{teachers}:failing"}, workers=1)
    searched = len([task for task in trained if not task.network.reference])
    with pytest.raises(UserError, match="holds a run of another configuration: seed"):
        pipeline.open_search(path, {"seed": 6})
    with pipeline.open_search(path, {"distill": f"{networks}:net"}, workers=1) as search:
        assert len(search.store.trials("search")) == searched
        row = pipeline.evolve(search)[0].candidates[0]
        pipeline.train(search)
    with pytest.raises(UserError, match="holds a run of another configuration: distill"):
        pipeline.open_search(path, {"distill": "none"})
    assert [task.distillation.network.source for task in trained if task.distillation] == [
        f"{networks}:net"
    ] * 2
    assert row.id in {task.candidate for task in trained}


def test_without_its_teacher_a_run_begins_its_networks_anew(copy, forget_finals):
    with RunStore.open(copy, None) as run:
        forget_finals(run)
    begun = copy / "weights" / "some" / CHECKPOINT_FILE
    begun.parent.mkdir()
    begun.touch()
    pipeline.open_search(copy, {"distill": "largest"}).close()
    assert begun.exists()
    with pipeline.open_search(copy, {"distill": "none"}) as search:
        assert search.config.distill is None
        assert search.store.facts.teacher is None
    assert not begun.exists()


def test_one_network_for_all_budgets_teaches_nobody_which_is_said_before_its_training(finished, copy, caplog):
    with pipeline.open_search(copy) as search:
        search.store.facts.teacher = None
        families = search.store.facts.families[:1]
        rows = {row.id: row for row in families[0].candidates}
        trained = [result.candidate for result in search.store.results()]
        other = next(name for name in rows if name not in trained)
        for held, said in ((RaceState(missing={other: 2}), 1), (RaceState(rows[trained[0]]), 0)):
            caplog.clear()
            with caplog.at_level(logging.WARNING):
                assert first_to_train(search, families, {families[0].budget: held}) == held.missing
            assert caplog.text.count("nobody learns from the largest") == said
        assert search.store.facts.teacher.candidate == trained[0]


def test_a_run_that_has_ended_needs_its_teacher_no_more(finished, copy, tmp_path, change_option):
    path, results = finished
    folder = tmp_path / "teacher"
    subprocess.run(["cp", "-r", path / results[1].directory, folder], check=True)
    with RunStore.open(copy, None) as run:
        change_option(run, "distill", json.dumps(str(folder)))
    subprocess.run(["rm", "-r", folder], check=True)
    assert pipeline.run(copy, workers=1) == results
    with pipeline.open_search(copy, workers=1) as search:
        pipeline.evolve(search, [f"macs={max(result.macs for result in results) + 1}:1M"])
        with pytest.raises(UserError, match="no folder of an emitted network"):
            pipeline.train(search)
