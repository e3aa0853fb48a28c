import dataclasses
import html
import json
import logging
import shutil
import subprocess

import pytest

from narsfast import pipeline
from narsfast.common.candidate import Candidate
from narsfast.common.trial import Trial
from narsfast.cost import Budget
from narsfast.errors import UserError
from narsfast.pipeline._finals import select_final, standard_error
from narsfast.runs import BestTrial, Family, FoundCandidate, RunStore

pytestmark = pytest.mark.usefixtures("always_few_steps")

IMAGES = 400
IDS = {name: Candidate({"name": name}, {}).id for name in "abt"}


def family(*names, best=None, accuracy=60.0):
    """Make a family of candidates that have nothing but a name."""
    best_trial = best and BestTrial(IDS[best], accuracy, 2)
    found = tuple(FoundCandidate(Candidate({"name": name}, {}), 70.0, 1.0, {"macs": 1}) for name in names)
    return Family("macs=1M", "macs<=1M", 3, found, best_trial)


def trial(name, accuracy=70.0, outcome="ok"):
    return Trial(IDS[name], (10.0, accuracy), outcome, 2, 1.0, "" if outcome == "ok" else "why")


def wanted(family, *trials):
    found = select_final(family, {trial.candidate: trial for trial in trials}, IMAGES)
    return found.architecture["name"]


def test_the_best_predicted_is_wanted_and_kept():
    assert wanted(family("a", "b")) == "a"
    assert wanted(family("a", "b"), trial("a")) == "a"
    assert wanted(family("a", "b", best="b"), trial("a")) == "a"


def test_where_it_ends_badly_the_next_is_wanted():
    bad = trial("a", outcome="diverged")
    assert wanted(family("a", "b"), bad) == "b"
    assert wanted(family("a", "b"), bad, trial("b")) == "b"
    with pytest.raises(
        UserError, match=r"macs<=1M: none of its 2 final trainings ended well, the last diverged"
    ):
        wanted(family("a", "b"), bad, trial("b", outcome="diverged"))


def test_where_it_does_worse_than_a_trial_the_better_of_both_is_wanted(caplog):
    worse = family("a", "b", "t", best="t", accuracy=60.0)
    with caplog.at_level(logging.WARNING):
        assert wanted(worse, trial("a", 50.0)) == "t"
    assert "found reached 50.0 % in its full training, and a trial 60.0 % in 2 epochs" in caplog.text
    caplog.clear()
    assert wanted(worse, trial("a", 50.0), trial("t", 55.0)) == "t"
    assert wanted(worse, trial("a", 50.0), trial("t", 50.0)) == "t"  # the trial was the better one
    assert wanted(worse, trial("a", 50.0), trial("t", 45.0)) == "a"
    assert wanted(worse, trial("a", 50.0), trial("t", outcome="failed")) == "a"
    assert caplog.text == ""  # said once, before the training


def test_worse_is_by_more_than_a_standard_error():
    error = standard_error(50.0, IMAGES)
    assert error == pytest.approx(2.5)
    assert wanted(family("a", "t", best="t", accuracy=50.0 + error - 0.01), trial("a", 50.0)) == "a"
    assert wanted(family("a", "t", best="t", accuracy=50.0 + error), trial("a", 50.0)) == "a"
    assert wanted(family("a", "t", best="t", accuracy=50.0 + error + 0.01), trial("a", 50.0)) == "t"
    assert wanted(family("t", "b", best="t", accuracy=99.0), trial("t", 50.0)) == "t"


@pytest.fixture(scope="module")
def evolved(tmp_path_factory, smallest):
    """Provide a run before its final trainings."""
    path = tmp_path_factory.mktemp("runs") / "run"
    with pipeline.open_search(path, smallest, 1) as search:
        pipeline.evolve(search)
    return path


def test_a_run_keeps_its_best_trial_inside_each_budget(evolved):
    with pipeline.open_search(evolved, workers=1) as search:
        families = pipeline.evolve(search)
        epoch = search.store.facts.early_stop_epoch
        labels = {t.candidate: t.label(epoch, search.data.chance) for t in search.store.trials("search")}
        costs = search.store.facts.statistics
        for found in families:
            low, high = Budget.parse(found.budget).bounds["macs"]
            inside = {name: label for name, label in labels.items() if low <= costs[name]["macs"] <= high}
            best = found.best_trial
            if best is None:
                assert not inside
                continue
            assert best.accuracy == max(inside.values()) == inside[best.candidate]
            assert best.epochs == epoch
            (row,) = [row for row in found.candidates if row.id == best.candidate]
            assert row.statistics == costs[row.id]


def test_the_trial_that_was_better_is_trained_and_emitted(evolved, tmp_path, caplog):
    shutil.copytree(evolved, tmp_path / "run")
    with pipeline.open_search(tmp_path / "run", workers=1) as search:
        families = pipeline.evolve(search)
        first, second = (found.id for found in families[0].candidates[:2])
        changed = dataclasses.replace(families[0], best_trial=BestTrial(second, 50.0, 1))
        search.store.facts.families = (changed, *families[1:])
        search.store.add_trial(Trial(first, (1.0, 1.0), "ok", 2, 1.0), "final")
        with caplog.at_level(logging.WARNING):
            results = pipeline.emit(search)
        assert caplog.text.count("the better of the two is taken") == 1
        assert results[0].candidate == second
        assert pipeline.emit(search) == results
    said = f"For {html.escape(results[0].budget)} the network that evolution found was worse after its full training"
    assert said in (tmp_path / "run" / "report.html").read_text()


def ended(path):
    """Return what must be equal however often the machine disturbed a run: its results and full trainings."""
    with RunStore.read(path) as run:
        assert run.facts.stage == "done"
        return run.results(), [dataclasses.replace(trial, seconds=0.0) for trial in run.trials("final")]


@pytest.fixture(scope="module")
def undisturbed(evolved, tmp_path_factory):
    """Provide the results of the run when nothing happens."""
    path = tmp_path_factory.mktemp("runs") / "run"
    shutil.copytree(evolved, path)
    pipeline.run(path, workers=1)
    return ended(path)


@pytest.fixture
def small_disk(evolved, tmp_path):
    """Provide the run on a disk of its own, and a function that gives the disk so many bytes more than it holds."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    shutil.copytree(evolved, place / "run")

    def leave(free):
        held = shutil.disk_usage(place).used + free
        subprocess.run(["mount", "-o", f"remount,size={held}", place], check=True)

    try:
        yield place / "run", leave
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("free", [40_000, 260_000, 600_000])
def test_a_full_disk_stops_the_run_and_with_room_it_ends_like_any_other(small_disk, undisturbed, free):
    """Wherever the disk is full: at the database, a checkpoint or the folder of a network."""
    path, leave = small_disk
    leave(free)
    with pytest.raises(UserError, match="the disk is full"):
        pipeline.run(path, workers=1)
    leave(50_000_000)
    with RunStore.read(path) as run:
        assert {trial.outcome for trial in run.trials("final")} <= {"ok"}
    pipeline.run(path, workers=1)
    assert ended(path) == undisturbed
    assert (path / "report.html").exists()
    assert not list(path.rglob("*.pt"))
    assert not list(path.rglob(".partial*"))


def test_a_disk_that_is_full_for_a_moment_is_waited_for(small_disk, undisturbed, monkeypatch, caplog):
    path, leave = small_disk
    leave(120_000)
    monkeypatch.setattr("time.sleep", lambda _: leave(50_000_000))
    pipeline.run(path, workers=1)
    assert ended(path) == undisturbed
    assert "it is tried again" in caplog.text


def test_a_network_in_the_place_of_a_better_predicted_one_is_named_everywhere(
    evolved, tmp_path, caplog, run_narsfast
):
    path = tmp_path / "run"
    shutil.copytree(evolved, path)
    with pipeline.open_search(path, workers=1) as search:
        first = pipeline.evolve(search)[0].candidates[0]
        search.store.add_trial(Trial(first.id, (), "diverged", 2, 1.0, "the loss is not finite"), "final")
        with caplog.at_level(logging.WARNING):
            results = pipeline.emit(search)
    said = (
        f"candidate {first.id}, predicted {first.predicted:.2f} %, is passed over, since its full training ended as "
        "diverged (the loss is not finite)"
    )
    assert f"budget {results[0].budget}: {said}" in caplog.text
    assert f"{results[0].budget}: {said}" in run_narsfast("best", path)[1]
    expected = {
        "candidate": first.id,
        "predicted": first.predicted,
        "outcome": "diverged",
        "message": "the loss is not finite",
    }
    rows = json.loads(run_narsfast("best", path, "--json")[1])["results"]
    emission = json.loads((path / results[0].directory / "emission.json").read_text())
    assert rows[0]["passed_over"] == emission["passed_over"] == [expected]
    card = (path / results[0].directory / "README.md").read_text()
    assert f"- `{first.id}`, predicted {first.predicted:.2f} %: diverged (the loss is not finite)" in card
    page = (path / "report.html").read_text()
    assert f"candidate {first.id} was predicted better" in page
    others = [row for row, result in zip(rows, results, strict=True) if result.candidate == first.id]
    assert not any("passed_over" in row for row in others)


def test_failed_full_trainings_are_tried_again_when_asked_for(evolved, tmp_path, undisturbed, run_narsfast):
    """As an early version left them: what a full disk did stands as the candidates' own failure."""
    path = tmp_path / "run"
    shutil.copytree(evolved, path)
    with pipeline.open_search(path, workers=1) as search:
        for family in pipeline.evolve(search):
            for found in family.candidates:
                if all(trial.candidate != found.id for trial in search.store.trials("final")):
                    search.store.add_trial(Trial(found.id, (), "failed", 2, 1.0, "no space left"), "final")
        with pytest.raises(UserError, match=r"mend that and resume the run with `retry_failed`"):
            pipeline.emit(search)
    code, _, err = run_narsfast("resume", path)
    assert (code, "resume the run with --retry-failed" in err) == (1, True)
    code, _, err = run_narsfast("resume", path, "--retry-failed", "--workers", 1)
    assert code == 0, err
    assert "tried again: " in err
    assert ended(path) == undisturbed
