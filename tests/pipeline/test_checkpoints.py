"""Trainings of the search that were killed go on from their last checkpoint, where they take long."""

import pytest

from narsfast import pipeline
from narsfast.pipeline import _search
from narsfast.runs import RunStore
from narsfast.training import CHECKPOINT_FILE
from narsfast.training._loop import Loop

pytestmark = pytest.mark.usefixtures("always_few_steps")


@pytest.fixture
def options(smallest):
    return {**smallest, "epochs": 3}


class Killed(BaseException):
    """What ends the process in the middle of a training."""


def searched(path, options, monkeypatch, killed_at=()):
    """Search, and begin again each time after so many epochs; return all epochs trained, and curves."""
    epochs, epoch = [], Loop.epoch

    def counted(loop, number):
        if len(epochs) in kills:
            kills.remove(len(epochs))
            raise Killed
        epochs.append(number)
        epoch(loop, number)

    kills = set(killed_at)
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "epoch", counted)
        while True:
            try:
                with pipeline.open_search(path, options, workers=1) as search:
                    pipeline.optimize(search)
                break
            except Killed:
                kept = list((path / _search.CHECKPOINTS_FOLDER).rglob(CHECKPOINT_FILE))
                assert len(kept) <= 1
    with RunStore.read(path) as store:
        return epochs, {trial.candidate: trial.curve for trial in store.trials("search")}


def test_a_long_training_goes_on_and_a_short_one_begins_anew(options, tmp_path, monkeypatch):
    whole, curves = searched(tmp_path / "whole", options, monkeypatch)
    assert whole == [0, 1, 2] * 2
    short, same = searched(tmp_path / "short", options, monkeypatch, killed_at=(1, 6))
    assert short == [0, 0, 1, 2, 0, 1, 0, 1, 2]
    assert same == curves
    monkeypatch.setattr(_search, "CHECKPOINT_SECONDS", 1e-9)
    long, same = searched(tmp_path / "long", options, monkeypatch, killed_at=(1, 5))
    assert long == [0, 1, 2] * 2
    assert same == curves
    for name in ("whole", "short", "long"):
        assert not list((tmp_path / name).rglob(CHECKPOINT_FILE))
