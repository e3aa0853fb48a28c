"""The race for a budget: who runs, who goes on, and what a run that was stopped does."""

import logging
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest

from narsfast import pipeline
from narsfast.common.candidate import Candidate
from narsfast.common.trial import EpochMetrics, Trial
from narsfast.cost import Budget
from narsfast.errors import UserError
from narsfast.pipeline._finalists import trials_inside
from narsfast.pipeline._race import race
from narsfast.runs import Family, Finalist, FoundCandidate
from narsfast.training import CHECKPOINT_FILE
from narsfast.training._loop import Loop

pytestmark = pytest.mark.usefixtures("always_few_steps")

EPOCHS, FIRST = 6, 2
IDS = {name: Candidate({"name": name}, {}).id for name in "abcde"}
FAMILY = Family(
    "macs=1M",
    "macs<=1M",
    3,
    tuple(FoundCandidate(Candidate({"name": name}, {}), 70.0, 1.0, {"macs": 1}) for name in "abcde"),
    finalists=tuple(Finalist(IDS[name], "evolved") for name in "abc"),
)


def trial(name, *curve, epochs=None, outcome="ok", entropies=()):
    metrics = EpochMetrics(cross_entropy=entropies) if entropies else EpochMetrics()
    return Trial(IDS[name], curve, outcome, epochs or len(curve), 1.0, metrics=metrics)


def held(*trials, images=100):
    return race(FAMILY, {trial.candidate: trial for trial in trials}, images, EPOCHS)


def missing(*trials, images=100):
    names = {number: name for name, number in IDS.items()}
    return {names[number]: epochs for number, epochs in held(*trials, images=images).missing.items()}


def test_all_finalists_begin():
    assert missing() == dict.fromkeys("abc", FIRST)
    assert missing(trial("b", 50, 60)) == dict.fromkeys("ac", FIRST)


def test_the_best_two_that_the_split_cannot_tell_apart_go_on():
    begun = trial("a", 40, 70), trial("b", 40, 71), trial("c", 40, 69)
    assert missing(*begun) == {"b": EPOCHS, "a": EPOCHS}
    assert missing(*begun, images=10**6) == {"b": EPOCHS}


def test_the_better_one_at_the_end_is_the_network():
    ended = trial("a", 40, 70, 0, 0, 0, 80), trial("b", 40, 71, 0, 0, 0, 79)
    assert held(*ended, trial("c", 40, 69)).chosen.id == IDS["a"]
    assert not missing(*ended, trial("c", 40, 69))
    # One that ended for another budget takes part, even if it would not have gone on here.
    other = trial("c", 40, 50, 0, 0, 0, 90)
    assert held(*ended, other).chosen.id == IDS["c"]


def test_cross_entropies_decide_where_accuracies_are_noise():
    known = {"a": (70, 1.2), "b": (71, 1.0), "c": (70.5, 0.5)}
    begun = [trial(name, 40, accuracy, entropies=(2.0, loss)) for name, (accuracy, loss) in known.items()]
    assert list(missing(*begun, images=50)) == ["c", "b"]
    assert list(missing(*[trial(name, 40, accuracy) for name, (accuracy, _) in known.items()])) == ["b", "c"]


def test_where_one_diverges_the_next_goes_on():
    bad = trial("b", 40, 71, 50, epochs=EPOCHS, outcome="diverged")
    assert missing(trial("a", 40, 70), bad, trial("c", 40, 69)) == dict.fromkeys("ac", EPOCHS)
    failed = trial("b", epochs=FIRST, outcome="failed")
    assert missing(trial("a", 40, 70), failed, trial("c", 40, 20)) == {"a": EPOCHS}


def test_where_none_ends_well_other_candidates_are_trained_one_after_the_other():
    bad = [trial(name, epochs=FIRST, outcome="diverged") for name in "abc"]
    assert missing(*bad) == {"d": EPOCHS}
    assert held(*bad, trial("d", *[50] * EPOCHS)).chosen.id == IDS["d"]
    worse = trial("d", epochs=EPOCHS, outcome="diverged")
    assert missing(*bad, worse) == {"e": EPOCHS}
    with pytest.raises(UserError, match=r"macs<=1M: none of its 5 final trainings ended well"):
        held(*bad, worse, trial("e", epochs=EPOCHS, outcome="diverged"))


def test_one_epoch_is_the_whole_race():
    trials = [trial(name, accuracy) for name, accuracy in zip("abc", (40, 60, 50), strict=True)]
    found = race(FAMILY, {trial.candidate: trial for trial in trials}, 100, 1)
    assert found.chosen.id == IDS["b"]


@pytest.fixture(scope="module")
def options(smallest):
    return {**smallest, "finalists": 4, "explore": False, "final_epochs": 4}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, options):
    """Provide a run that has ended."""
    path = tmp_path_factory.mktemp("runs") / "run"
    pipeline.run(path, options, workers=1)
    return path


def finals_of(path):
    with pipeline.open_search(path, workers=1) as search:
        return {trial.candidate: trial for trial in search.store.trials("final")}


def test_finalists_are_trials_evolved_ones_and_the_anchor(finished):
    with pipeline.open_search(finished, workers=1) as search:
        families = pipeline.evolve(search)
        for family in families:
            budget = Budget.parse(family.budget)
            origins = [finalist.origin for finalist in family.finalists]
            assert origins.count("trial") <= 2
            assert 4 <= len(origins) <= 5
            assert origins[4:] in ([], ["anchor"])
            found = [family.found(finalist.candidate) for finalist in family.finalists]
            shapes = [tuple(one.architecture.items()) for one in found[:4]]
            assert len(set(shapes)) == 4
            names = search.counter.names
            for one in found:
                assert budget.within(np.array([[one.statistics[name] for name in names]]), names).all()
            trained = set(search.space.ids(trials_inside(search, budget)[0]))
            by_origin = {finalist.candidate: finalist.origin for finalist in family.finalists}
            assert all(name in trained for name, origin in by_origin.items() if origin == "trial")


def test_all_begin_with_the_schedule_of_all_epochs_and_the_best_end(finished, options):
    trials = finals_of(finished)
    first = math.ceil(options["final_epochs"] / 3)
    with pipeline.open_search(finished, workers=1) as search:
        families, results = pipeline.evolve(search), search.store.results()
    for family, result in zip(families, results, strict=True):
        mine = {finalist.candidate: trials[finalist.candidate] for finalist in family.finalists}
        assert {trial.epochs for trial in mine.values()} <= {first, options["final_epochs"]}
        chosen = mine[result.candidate]
        assert chosen.epochs == options["final_epochs"]
        assert result.validation == chosen.curve[-1]
        best = max(trial.curve[first - 1] for trial in mine.values())
        assert any(t.epochs == options["final_epochs"] and t.curve[first - 1] == best for t in mine.values())
    assert not list(finished.rglob(CHECKPOINT_FILE))


@pytest.fixture
def epochs_trained(monkeypatch):
    """Count the epochs that are trained from now on."""
    counted, epoch = [], Loop.epoch
    monkeypatch.setattr(Loop, "epoch", lambda loop, number: (counted.append(number), epoch(loop, number))[1])
    return counted


def test_a_race_that_was_stopped_anywhere_ends_alike(finished, tmp_path, forget_finals, epochs_trained):
    whole = finals_of(finished)
    shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "weights")
    with pipeline.open_search(tmp_path / "run", workers=1) as search:
        forget_finals(search.store)
    stops = 0
    while True:  # each time one training longer
        count = len(epochs_trained)
        with pipeline.open_search(tmp_path / "run", workers=1) as search:
            add, left = search.store.add_trial, [1]

            def stopping(trial, purpose, add=add, left=left):
                add(trial, purpose)
                if not left[0]:
                    raise KeyboardInterrupt
                left[0] -= 1

            search.store.add_trial = stopping
            try:
                pipeline.train(search)
                break
            except KeyboardInterrupt:
                stops += 1
        assert len(epochs_trained) > count
    assert stops > 2
    again = finals_of(tmp_path / "run")
    assert again.keys() == whole.keys()
    for name, trial in whole.items():
        assert (again[name].curve, again[name].epochs) == (trial.curve, trial.epochs)
    assert len(epochs_trained) == sum(trial.epochs for trial in whole.values())  # none of them twice


def test_without_a_checkpoint_a_raced_one_is_trained_anew_to_the_same_end(
    finished, options, tmp_path, forget_finals
):
    whole = finals_of(finished)
    shutil.copytree(finished, tmp_path / "run")
    with pipeline.open_search(tmp_path / "run", workers=1) as search:
        forget_finals(search.store)
        for trial in whole.values():
            first = math.ceil(options["final_epochs"] / 3)
            search.store.add_trial(replace(trial.until(first), epochs=first), "final")
    shutil.rmtree(tmp_path / "run" / "weights")
    results = pipeline.run(tmp_path / "run", workers=1)
    again = finals_of(tmp_path / "run")
    assert {name: trial.curve for name, trial in again.items()} == {n: t.curve for n, t in whole.items()}
    assert all(result.test > 0 for result in results)


def test_with_the_largest_as_the_teacher_its_budget_races_first(options, tmp_path, trained, caplog):
    with caplog.at_level(logging.WARNING):
        pipeline.run(tmp_path / "run", {**options, "distill": "largest"}, workers=1)
    with pipeline.open_search(tmp_path / "run", workers=1) as search:
        teacher = search.store.facts.teacher.candidate
        results = search.store.results()
        largest = max(results, key=lambda result: result.macs)
    finals = [task for task in trained if task.keep_weights]
    taught = [task for task in finals if task.distillation is not None]
    if len({result.candidate for result in results}) > 1:
        assert largest.candidate == teacher
        assert taught
    first = finals.index(taught[0]) if taught else len(finals)
    assert any(task.candidate == teacher and task.epochs == task.schedule_epochs for task in finals[:first])
    assert all(task.distillation is None for task in finals[:first])
