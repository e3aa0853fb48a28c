"""Trainings that did not end well are forgotten with all that followed from them, and nothing else is."""

import pytest

from narsfast.common.candidate import Candidate
from narsfast.common.early_stopping import EarlyStopping
from narsfast.common.trial import Fit, Trial
from narsfast.runs import (
    BaselineResult,
    Family,
    FoundCandidate,
    PickedCandidate,
    Result,
    RunStore,
    TeacherChoice,
    forget_failed,
    forget_unpicked,
)

NAMES = "abcdef"
FOUND = [FoundCandidate(Candidate({"name": name}, {}), 70.0, 1.0, {"macs": 1}) for name in "xyz"]
X, Y, Z = (found.id for found in FOUND)


def finished(path, search=(), finals=(), baselines=(), teacher=None):
    """Store a finished run of three batches of two, with outcomes other than ok for some of its trainings."""
    outcomes = dict((*search, *finals, *baselines))
    run = RunStore.open(path, {"seed": 1, "budgets": ["macs=1M", "macs=2M"]})
    for index in range(3):
        batch = NAMES[2 * index : 2 * index + 2]
        run.add_batch(index, 4, [PickedCandidate(name, (index,), {}, {}) for name in batch])

    def add(name, purpose):
        outcome = outcomes.get(name, "ok")
        run.add_trial(Trial(name, (1.0,) if outcome == "ok" else (), outcome, 4, 1.0), purpose)

    for name in NAMES:
        add(name, "search")
    run.facts.early_stop_epoch = 4
    run.facts.early_stopping = EarlyStopping(4, "few_curves", 0.92, "kendall", 2)
    run.facts.fits = [Fit(2, {})] * 3
    run.facts.families = tuple(
        Family(budget, budget.replace("=", "<="), 1, tuple(FOUND))
        for budget in ("macs=1M", "macs=2M", "macs=3M")
    )
    for name in (X, Y):
        add(name, "final")
    run.facts.teacher = teacher
    for budget, candidate in (("macs<=1M", Y), ("macs<=2M", Y), ("macs<=3M", X)):
        run.add_result(Result(budget, candidate, 1, 1, 1.0, 1.0, 1.0, f"family/{budget}"))
    rows = []
    for name in ("net", "other"):
        add(name, "baseline")
        rows.append(BaselineResult(name, 32, 4, outcomes.get(name, "ok"), "", name))
    run.facts.baselines = tuple(rows)
    run.facts.stage = "done"
    return run


def test_without_failures_nothing_changes(tmp_path):
    with finished(tmp_path / "run", search=[("b", "diverged")]) as run:
        assert forget_failed(run) == []
        assert (run.facts.stage, len(run.batches()), len(run.results())) == ("done", 3, 3)
        assert [trial.outcome for trial in run.trials("search")].count("diverged") == 1


@pytest.mark.parametrize("outcome", ["lost", "failed", "out_of_memory", "timed_out"])
def test_a_failed_trial_of_the_search_takes_the_run_back_to_its_batch(tmp_path, outcome):
    with finished(tmp_path / "run", search=[("c", outcome)]) as run:
        assert forget_failed(run) == [("search", "c", outcome)]
        assert run.facts.stage == "optimize"
        assert [batch.index for batch in run.batches()] == [0, 1]
        assert [trial.candidate for trial in run.trials("search")] == ["a", "b", "d", "e", "f"]
        assert (run.facts.early_stop_epoch, run.facts.fits, run.facts.families) == (None, None, None)
        assert run.facts.early_stopping is None
        assert run.facts.further_budgets == ("macs=1M", "macs=2M", "macs=3M")
        assert run.results() == []
        assert [trial.candidate for trial in run.trials("final")] == sorted([X, Y])
        assert len(run.facts.baselines) == 2


def test_trials_of_a_forgotten_batch_serve_again_where_they_fit(tmp_path):
    with finished(tmp_path / "run", search=[("a", "lost")]) as run:
        forget_failed(run)
        run.add_batch(1, 4, [PickedCandidate(name, (1,), {}, {}) for name in "cf"])
        run.add_batch(2, 3, [PickedCandidate("e", (2,), {}, {})])
        assert [trial.candidate for trial in run.trials("search")] == [
            "b",
            "c",
            "d",
            "f",
        ]  # e had other epochs
        forget_unpicked(run)
        assert [trial.candidate for trial in run.trials("search")] == ["b", "c", "f"]


def test_where_a_network_of_the_run_teaches_all_full_trainings_go(tmp_path):
    with finished(tmp_path / "run", search=[("f", "lost")], teacher=TeacherChoice(candidate=X)) as run:
        forget_failed(run)
        assert (run.trials("final"), run.facts.teacher) == ([], None)
        assert len(run.batches()) == 3
    with finished(tmp_path / "other", search=[("f", "lost")], teacher=TeacherChoice(sha256="7")) as run:
        forget_failed(run)
        assert len(run.trials("final")) == 2
        assert run.facts.teacher == TeacherChoice(sha256="7")


def test_a_failed_full_training_takes_back_the_results_that_have_its_place(tmp_path):
    with finished(tmp_path / "run", finals=[(X, "lost")]) as run:
        assert forget_failed(run) == [("final", X, "lost")]
        assert run.facts.stage == "train"
        assert [result.budget for result in run.results()] == ["macs<=3M"]
        assert [trial.candidate for trial in run.trials("final")] == [Y]
        assert (len(run.batches()), len(run.facts.families)) == (3, 3)


def test_a_failed_baseline_is_known_no_more(tmp_path):
    with finished(tmp_path / "run", baselines=[("net", "failed")]) as run:
        assert forget_failed(run) == [("baseline", "net", "failed")]
        assert [row.model for row in run.facts.baselines] == ["other"]
        assert [trial.candidate for trial in run.trials("baseline")] == ["other"]
        assert (run.facts.stage, len(run.results())) == ("train", 3)
