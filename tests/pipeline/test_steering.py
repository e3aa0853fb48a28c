"""Trainings are steered to the budgets, unless a front is asked for."""

import logging

import pytest

from narsfast import pipeline
from narsfast.cost import Budget
from narsfast.pipeline import resolve_config
from narsfast.search import band_of

pytestmark = pytest.mark.usefixtures("always_few_steps")

BUDGETS = ["macs=0.2M", "macs=0.4M"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, smallest):
    """Provide a run under two budgets, with two batches."""
    path = tmp_path_factory.mktemp("runs") / "run"
    given = {name: value for name, value in smallest.items() if name != "pool_bounds"}
    given |= {
        "explore": False,
        "budgets": BUDGETS,
        "trials_per_batch": 4,
        "iterations": 2,
        "epochs": 1,
        "final_epochs": 1,
    }
    pipeline.run(path, given, workers=1)
    return path


def test_all_trained_candidates_are_for_a_budget_and_anchors_are_among_them(finished):
    with pipeline.open_search(finished, workers=1) as search:
        assert search.steered
        batches, bands = search.store.batches(), [band_of(Budget.parse(text)) for text in BUDGETS]
        costs = search.store.facts.statistics
        anchors = {tuple(row) for row in search.pool.genes[: search.pool.anchors].tolist()}
    assert len(anchors) == 2
    assert anchors <= {picked.genes for picked in batches[0].candidates}
    for batch in batches:
        counts = [0, 0]
        for picked in batch.candidates:
            macs = costs[picked.candidate]["macs"]
            inside = [low <= macs <= high for low, high in (band.bounds["macs"] for band in bands)]
            assert any(inside) or picked.genes in anchors
            counts[0] += macs <= 200_000
            counts[1] += macs > 200_000
        assert counts == [2, 2]


def test_networks_are_not_smaller_than_what_was_trained(finished):
    with pipeline.open_search(finished, workers=1) as search:
        for family in pipeline.evolve(search):
            evolved = [
                f
                for f in family.candidates
                if f.id not in {t.candidate for t in search.store.trials("search")}
            ]
            assert all(found.statistics["macs"] >= 0.6 * 200_000 for found in evolved)


def test_what_lies_beyond_the_budgets_is_said_to_be_a_guess(finished, caplog):
    with pipeline.open_search(finished, workers=1) as search, caplog.at_level(logging.WARNING):
        pipeline.pareto(search, ["macs"], "0.1M:0.4M")
        assert not caplog.text
        pipeline.pareto(search, ["macs"], "0.3M:0.5M")
    assert "the front reaches beyond the run's budgets" in caplog.text
    assert "of networks with more than 400,000 macs its predictions are guesses" in caplog.text


def test_a_front_that_is_asked_for_has_the_space_s_pool():
    steered, explored = resolve_config({}), resolve_config({"explore": True})
    assert (steered.pool_bounds, steered.explore) == (None, False)
    assert explored.pool_bounds
    own = resolve_config({"pool_bounds": "macs=1M:2M"})
    assert own.pool_bounds == "macs=1M:2M"


def test_runs_of_earlier_versions_train_as_they_began():
    stored = resolve_config({"explore": True, "finalists": 1}).to_stored()
    assert not {"explore", "finalists"} & stored.keys()
    again = resolve_config({}, stored)
    assert (again.explore, again.finalists) == (True, 1)
    assert resolve_config({}, resolve_config({}).to_stored()).explore is False
