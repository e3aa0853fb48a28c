"""The section on the races of a run."""

import pytest

from narsfast.common.candidate import Candidate
from narsfast.common.trial import Trial
from narsfast.report import collect, write_report
from narsfast.runs import Family, Finalist, FoundCandidate, Result, RunStore

from .test_page import Page


def found(name, macs):
    return FoundCandidate(Candidate({"name": name}, {}), 60.0 + macs / 1e6, 1.5, {"macs": macs})


MISSING = "\u2013"
CANDIDATES = [found("a", 1_000_000), found("b", 2_000_000), found("c", 3_000_000)]


@pytest.fixture
def run(tmp_path):
    """Provide a run in the middle of its race: one ended, one began, one diverged."""
    store = RunStore.open(tmp_path / "run", {"final_epochs": 3, "budgets": ["macs=5M"]})
    origins = ("trial", "evolved", "anchor")
    finalists = tuple(Finalist(c.id, origin) for c, origin in zip(CANDIDATES, origins, strict=True))
    store.facts.families = (
        Family("macs=5M", "macs<=5M", 1, tuple(CANDIDATES), finalists=finalists),
        Family("macs=6M", "macs<=6M", 1, tuple(CANDIDATES)),
    )
    a, b, c = (one.id for one in CANDIDATES)
    store.add_trial(Trial(a, (50.0,), "ok", 1, 1.0), "final")
    store.add_trial(Trial(a, (50.0, 55.0, 60.0), "ok", 3, 2.0), "final")
    store.add_trial(Trial(b, (49.0,), "ok", 1, 1.0), "final")
    store.add_trial(Trial(c, (), "diverged", 1, 1.0, "the loss is not finite"), "final")
    yield store
    store.close()


def test_finalists_are_there_as_far_as_they_came(run, tmp_path):
    first, second, third = collect(run)["races"]
    assert (first["first"], first["last"], first["chosen"]) == (50.0, 60.0, False)
    assert (second["first"], second["last"], second["origin"]) == (49.0, None, "evolved")
    assert (third["first"], third["last"], third["outcome"]) == (None, None, "diverged")
    run.add_result(Result("macs<=5M", CANDIDATES[0].id, 1_000_000, 10, 61.0, 60.0, 59.0, "family/macs"))
    assert [row["chosen"] for row in collect(run)["races"]] == [True, False, False]
    assert not collect(run)["displaced"]
    page = Page(write_report(run, tmp_path / "report.html").read_text())
    rows = page.tables["races"]
    assert rows[1][1:4] == [f"{CANDIDATES[0].id} (the network)", "a trial of the search", "1,000,000"]
    assert [row[-2:] for row in rows[1:]] == [["50.00", "60.00"], ["49.00", MISSING], [MISSING, "diverged"]]


def test_a_run_without_races_has_no_such_section(run, tmp_path):
    run.facts.families = run.facts.families[1:]
    assert collect(run)["races"] == []
    assert "races-section" not in write_report(run, tmp_path / "report.html").read_text()
