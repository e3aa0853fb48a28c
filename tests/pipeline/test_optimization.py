"""A search that goes on fits its predictor once, and picks what one that was not stopped picks."""

import pytest

from narsfast import pipeline
from narsfast.common.trial import Trial
from narsfast.predictor import Predictor
from narsfast.runs import RunStore

pytestmark = pytest.mark.usefixtures("always_few_steps")

BATCHES = 4


class StoppedError(Exception):
    """What ends the process."""


@pytest.fixture(params=[{"explore": True}, {"explore": False}, {"explore": False, "halving": True}])
def options(request, smallest):
    return {**smallest, "iterations": BATCHES, "epochs": 4, **request.param}


@pytest.fixture
def fits(monkeypatch):
    """Count the fits from now on."""
    counted, fit = [], Predictor.fit
    monkeypatch.setattr(Predictor, "fit", lambda *args: (counted.append(len(args[1])), fit(*args))[1])
    return counted


def searched(path, options, stop_after=None):
    """Search with a made-up trainer, which ends the process after so many trials."""
    trained = []

    def evaluate(candidates, epochs):
        for candidate in candidates:
            if len(trained) == stop_after:
                raise StoppedError
            trained.append(candidate.id)
            start = 20 + int(candidate.id[:2], 16) / 10
            yield Trial(candidate.id, tuple(start + epoch for epoch in range(epochs)), "ok", epochs, 1.0)

    with pipeline.open_search(path, options, own=pipeline.Own(evaluate=evaluate)) as search:
        pipeline.optimize(search)
    return trained


def content(path):
    with RunStore.read(path) as store:
        return (
            store.batches(),
            [(trial.candidate, trial.curve) for trial in store.trials("search")],
            store.facts.fits,
            store.facts.early_stopping,
        )


def test_a_search_that_goes_on_fits_once_for_all_that_it_has_learned(options, tmp_path, fits):
    whole = searched(tmp_path / "whole", options)
    assert len(fits) == BATCHES
    each = len(whole) // BATCHES
    for stop in (each + 1, 3 * each, 3 * each + 1):
        path = tmp_path / f"stopped-{stop}"
        with pytest.raises(StoppedError):
            searched(path, options, stop)
        fits.clear()
        rest = searched(path, options)
        assert len(rest) == len(whole) - stop
        done = stop // each
        # One fit for the batches before the last that was picked, and one for each batch that was not learned.
        learned = BATCHES - done
        assert len(fits) == learned + 1
        assert content(path) == content(tmp_path / "whole")


def test_what_it_was_stopped_with_at_the_end_is_fitted_again_alike(options, tmp_path, fits):
    searched(tmp_path / "run", options)
    before = content(tmp_path / "run")
    with pipeline.open_search(tmp_path / "run", workers=1) as search:
        search.store.facts.stage = "optimize"
    fits.clear()
    assert searched(tmp_path / "run", None) == []
    assert len(fits) == 2
    assert content(tmp_path / "run") == before


def test_a_run_that_does_not_know_why_it_stops_early_learns_all_again(options, tmp_path, fits):
    searched(tmp_path / "run", options)
    before = content(tmp_path / "run")
    with pipeline.open_search(tmp_path / "run", workers=1) as search:
        search.store.facts.stage = "optimize"
        search.store.facts.early_stopping = None
    fits.clear()
    searched(tmp_path / "run", None)
    assert len(fits) == BATCHES
    assert content(tmp_path / "run") == before
