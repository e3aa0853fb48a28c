"""Rivals of a whole run, each with its own trials and race."""

from importlib.util import find_spec

import pytest

from bench import end_to_end
from narsfast import pipeline
from narsfast.runs import RunStore

pytestmark = pytest.mark.usefixtures("always_few_steps")


@pytest.fixture(scope="module")
def options(smallest):
    return {
        **smallest,
        "explore": False,
        "budgets": ["macs=0.4M"],
        "trials_per_batch": 3,
        "iterations": 2,
        "final_epochs": 3,
    }


needs_optuna = pytest.mark.skipif(find_spec("optuna") is None, reason="optuna is not installed")


@pytest.mark.parametrize(
    "propose", [end_to_end.random_candidates, pytest.param(end_to_end.by_tpe, marks=needs_optuna)]
)
def test_a_rival_trains_as_many_and_races_its_best(options, tmp_path, propose):
    asked = options if propose is end_to_end.random_candidates else {**options, "budgets": ["macs=10M"]}
    found = end_to_end.searched(tmp_path / "run", asked, propose)
    with RunStore.read(tmp_path / "run") as run:
        trials, finals = run.trials("search"), run.trials("final")
    assert 4 <= len(trials) <= 6
    if propose is end_to_end.random_candidates:
        assert len(trials) == 6
    best = sorted(-trial.curve[-1] for trial in trials)[:4]
    raced = {trial.candidate for trial in finals}
    assert len(raced) == len(best)
    assert sorted(-trial.curve[-1] for trial in trials if trial.candidate in raced) == best
    ended = [trial for trial in finals if trial.epochs == 3]
    assert found["validation"] == max(trial.curve[-1] for trial in ended)
    assert 0 <= found["test"] <= 100


@needs_optuna
def test_a_rival_that_was_stopped_goes_on(options, tmp_path, monkeypatch):
    whole = end_to_end.searched(tmp_path / "whole", options, end_to_end.by_tpe)
    race = end_to_end.race

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(end_to_end, "race", stopped)
    with pytest.raises(KeyboardInterrupt):
        end_to_end.searched(tmp_path / "run", options, end_to_end.by_tpe)
    monkeypatch.setattr(end_to_end, "race", race)
    with RunStore.read(tmp_path / "run") as run:
        before = run.trials("search")
    assert end_to_end.searched(tmp_path / "run", options, end_to_end.by_tpe) == whole
    with RunStore.read(tmp_path / "run") as run:
        assert run.trials("search") == before


def test_ours_is_what_the_table_says(options, tmp_path):
    found = end_to_end.found(tmp_path / "run", options)
    (result,) = pipeline.Run(tmp_path / "run").results
    assert (found["validation"], found["test"], found["macs"]) == (
        result.validation,
        result.test,
        result.macs,
    )
    assert found["final_epochs"] == 3


def test_figures_are_paired_differences():
    rows = [
        {"ours_test": 80.0, "random_test": 78.0, "tpe_test": 81.0, "stock_test": 70.0},
        {"ours_test": 82.0, "random_test": 78.0, "tpe_test": 80.0, "stock_test": 74.0},
    ]
    figures = end_to_end.figures_of(rows)
    assert figures["end_to_end_pairs"] == 2
    assert figures["end_to_end_over_random"] == 3.0
    assert figures["end_to_end_over_random_error"] == pytest.approx(1.0)
    assert (figures["end_to_end_over_tpe_worst"], figures["end_to_end_over_tpe_won"]) == (-1.0, 0.5)
    assert figures["end_to_end_over_stock"] == 9.0
