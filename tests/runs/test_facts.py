"""Facts of a run: typed on both sides, in the JSON that version 0.1 wrote."""

import ast
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from narsfast.common.candidate import Candidate
from narsfast.common.early_stopping import EarlyStopping
from narsfast.common.label_noise import LabelNoise
from narsfast.common.trial import Fit
from narsfast.runs import (
    BaselineResult,
    BestTrial,
    Facts,
    Family,
    FoundCandidate,
    RunStore,
    TeacherChoice,
)
from narsfast.runs._facts import Fact

NARSFAST = Path(__file__).parents[2] / "narsfast"
VALUES = st.one_of(st.booleans(), st.integers(-(2**40), 2**40), st.floats(-1e6, 1e6), st.text(max_size=5))
MAPPINGS = st.dictionaries(st.text(min_size=1, max_size=6), VALUES, max_size=3)
PERCENT = st.floats(0, 100)
FOUND = st.builds(
    FoundCandidate,
    candidate=st.builds(Candidate, MAPPINGS, MAPPINGS),
    predicted=PERCENT,
    std=PERCENT,
    statistics=st.dictionaries(st.sampled_from(["macs", "latency"]), st.integers(0, 10**12) | PERCENT),
)
FAMILIES = st.lists(
    st.builds(
        Family,
        budget=st.just("macs=1M"),
        label=st.just("macs<=1M"),
        generations=st.integers(0, 100),
        candidates=st.lists(FOUND, max_size=3).map(tuple),
        best_trial=st.none() | st.builds(BestTrial, st.text(max_size=4), PERCENT, st.integers(1, 9)),
    ),
    max_size=3,
).map(tuple)


@pytest.fixture
def store(tmp_path):
    with RunStore.open(tmp_path / "run", {"seed": 1}) as opened:
        yield opened


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(families=FAMILIES)
def test_families_are_read_as_they_were_written(store, families):
    store.facts.families = families
    read = store.facts.families
    assert read == families
    for before, after in zip(families, read, strict=True):
        assert [found.id for found in after.candidates] == [found.id for found in before.candidates]


@pytest.mark.parametrize(
    ("name", "value", "stored"),
    [
        ("stage", "optimize", "optimize"),
        ("early_stop_epoch", 3, 3),
        (
            "label_noise",
            LabelNoise(341),
            {"images": 341, "seed_deviation": 1.33, "sampling_share": 0.6},
        ),
        (
            "early_stopping",
            EarlyStopping(
                2, "reached", 0.92, "kendall", 8, (None, 0.8, 1.0), (None, 0.9, 1.0), (0.0, 0.9, 0.9)
            ),
            {
                "epoch": 2,
                "reason": "reached",
                "threshold": 0.92,
                "correlation": "kendall",
                "curves": 8,
                "observed": [None, 0.8, 1.0],
                "corrected": [None, 0.9, 1.0],
                "reliability": [0.0, 0.9, 0.9],
                "deviation": None,
                "spread": None,
            },
        ),
        ("teacher", TeacherChoice(candidate="a"), {"candidate": "a"}),
        ("teacher", TeacherChoice(sha256="b"), {"sha256": "b"}),
        (
            "fits",
            (Fit(8, {"ridge": 0.5, "macs": None}),),
            [{"trials": 8, "taus": {"ridge": 0.5, "macs": None}}],
        ),
        (
            "baselines",
            (BaselineResult("m", 32, 5, "failed", "why", "baselines/m"),),
            [
                {
                    "model": "m",
                    "resolution": 32,
                    "epochs": 5,
                    "outcome": "failed",
                    "message": "why",
                    "directory": "baselines/m",
                    "macs": None,
                    "params": None,
                    "validation": None,
                    "test": None,
                }
            ],
        ),
    ],
)
def test_facts_have_their_stored_form(store, name, value, stored):
    setattr(store.facts, name, value)
    assert store.fact(name) == stored
    assert getattr(store.facts, name) == value


def test_facts_are_none_until_they_are_set_and_can_be_forgotten(store):
    for name in (name for name, fact in vars(Facts).items() if isinstance(fact, Fact)):
        assert getattr(store.facts, name) is None
    store.facts.teacher = TeacherChoice(candidate="a")
    store.facts.teacher = None
    assert store.facts.teacher is None


def test_family_of_a_run_without_a_best_trial_is_read():
    """As early runs stored it."""
    data = {"budget": "macs=1M", "label": "macs<=1M", "generations": 1, "candidates": []}
    assert Family.from_dict(data).best_trial is None


def test_no_other_file_reads_or_writes_facts_by_key():
    for file in NARSFAST.rglob("*.py"):
        if file.parts[-2:] in (("runs", "_facts.py"), ("runs", "_store.py")):
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                assert node.func.attr not in ("fact", "put_fact"), f"{file}:{node.lineno}"
