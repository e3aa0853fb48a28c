import dataclasses
import html
import logging
import shutil

import pytest

from narsfast import pipeline
from narsfast.common.candidate import Candidate
from narsfast.common.trial import Trial
from narsfast.cost import Budget
from narsfast.errors import UserError
from narsfast.pipeline._finals import select_final, standard_error
from narsfast.runs import BestTrial, Family, FoundCandidate

pytestmark = pytest.mark.usefixtures("short_pretraining")

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
    assert wanted(worse, trial("a", 50.0), trial("t", 45.0)) == "a"
    assert wanted(worse, trial("a", 50.0), trial("t", outcome="failed")) == "a"
    assert caplog.text == ""  # said once, before the training


def test_worse_is_by_more_than_a_standard_error():
    error = standard_error(50.0, IMAGES)
    assert error == pytest.approx(2.5)
    assert wanted(family("a", "t", best="t", accuracy=50.0 + error - 0.01), trial("a", 50.0)) == "a"
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
