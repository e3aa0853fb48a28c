"""Runs whose batches are halved while they train."""

import json
import shutil

import pytest

import narsfast as nf
from narsfast import pipeline
from narsfast.common.trial import Trial
from narsfast.errors import UserError
from narsfast.pipeline._search import CHECKPOINTS_FOLDER
from narsfast.report._collect import collect
from narsfast.runs import RunStore
from narsfast.training._loop import Loop

pytestmark = pytest.mark.usefixtures("always_few_steps")


@pytest.fixture(scope="module")
def options(smallest):
    return {
        **smallest,
        "halving": True,
        "trials_per_batch": 2,
        "iterations": 2,
        "epochs": 4,
        "final_epochs": 1,
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory, options):
    """Provide a run that has ended."""
    path = tmp_path_factory.mktemp("runs") / "run"
    pipeline.run(path, options, workers=1)
    return path


def trials_of(path):
    with RunStore.read(path) as store:
        return {trial.candidate: trial for trial in store.trials("search")}


def test_some_candidates_go_on_and_nothing_is_left_of_the_others(finished):
    with RunStore.read(finished) as store:
        batches = store.batches()
        decided, epoch = store.facts.early_stopping, store.facts.early_stop_epoch
        trials = {trial.candidate: trial for trial in store.trials("search")}
        page = collect(store)
    assert [(len(batch.candidates), batch.epochs) for batch in batches] == [(4, 1), (4, 1)]
    for batch in batches:
        mine = [trials[one.candidate] for one in batch.candidates]
        assert sorted(len(trial.curve) for trial in mine) == [1, 1, 2, 4]
        first = sorted(mine, key=lambda trial: -trial.curve[0])
        assert {len(trial.curve) for trial in first[:1]} <= {2, 4} or first[0].curve[0] == first[1].curve[0]
    assert decided.reason == "halving"
    assert epoch == 4
    assert page["label_epoch"] == 1
    assert len([row for row in page["trials"] if row["label"] is not None]) == 8
    assert page["prediction"]["mean_absolute_error"] is None
    assert not (finished / CHECKPOINTS_FOLDER).exists()


def test_labels_of_what_was_cut_are_told(finished):
    rows = nf.Run(finished).trials()
    whole = [row for row in rows if len(row.curve) == 4]
    cut = [row for row in rows if len(row.curve) == 1]
    assert all(row.label == row.curve[-1] for row in whole)
    gain = sum(row.curve[3] - row.curve[0] for row in whole) / len(whole)
    assert all(row.label == pytest.approx(min(100, row.curve[0] + gain)) for row in cut)


@pytest.fixture
def epochs_trained(monkeypatch):
    """Count the epochs that are trained from now on."""
    counted, epoch = [], Loop.epoch
    monkeypatch.setattr(Loop, "epoch", lambda loop, number: (counted.append(number), epoch(loop, number))[1])
    return counted


def test_a_search_that_was_stopped_anywhere_ends_alike(finished, options, tmp_path, epochs_trained):
    whole = trials_of(finished)
    stops = 0
    while True:  # each time one training longer
        with pipeline.open_search(tmp_path / "run", options if not stops else None, workers=1) as search:
            add, left = search.store.add_trial, [1]

            def stopping(trial, purpose, add=add, left=left):
                add(trial, purpose)
                if not left[0]:
                    raise KeyboardInterrupt
                left[0] -= 1

            search.store.add_trial = stopping
            try:
                pipeline.optimize(search)
                break
            except KeyboardInterrupt:
                stops += 1
    assert stops > 5
    again = trials_of(tmp_path / "run")
    assert {name: trial.curve for name, trial in again.items()} == {n: t.curve for n, t in whole.items()}
    assert len(epochs_trained) == sum(trial.epochs for trial in whole.values())  # none of them twice


def test_what_lost_its_checkpoint_is_trained_anew_to_the_same_end(finished, options, tmp_path):
    whole = trials_of(finished)
    with pipeline.open_search(tmp_path / "run", options, workers=1) as search:
        add = search.store.add_trial

        def forgetful(trial, purpose):
            add(trial, purpose)
            shutil.rmtree(tmp_path / "run" / CHECKPOINTS_FOLDER, ignore_errors=True)

        search.store.add_trial = forgetful
        pipeline.optimize(search)
    again = trials_of(tmp_path / "run")
    assert {name: trial.curve for name, trial in again.items()} == {n: t.curve for n, t in whole.items()}


def test_what_goes_on_and_fails_keeps_its_beginning(finished, tmp_path):
    name = "a" * 12
    shutil.copytree(finished, tmp_path / "run")
    with pipeline.open_search(tmp_path / "run", workers=1) as search:
        search.store.add_trial(Trial(name, (20.0,), "ok", 1, 3.0), "search")
        search.store.add_trial(Trial(name, (), "failed", 4, 2.0, "a reason"), "search")
        stored = {trial.candidate: trial for trial in search.store.trials("search")}[name]
    assert (stored.curve, stored.outcome, stored.epochs, stored.seconds) == ((20.0,), "failed", 4, 5.0)
    assert stored.message == "a reason"


def test_trainers_of_the_user_are_asked_again_for_more_epochs(options, tmp_path):
    asked = []

    def evaluate(candidates, epochs):
        for candidate in candidates:
            asked.append((candidate.id, epochs))
            start = 20 + int(candidate.id[:2], 16) / 10
            yield Trial(candidate.id, tuple(start + epoch for epoch in range(epochs)), "ok", epochs, 1.0)

    with pipeline.open_search(tmp_path / "run", options, own=pipeline.Own(evaluate=evaluate)) as search:
        pipeline.optimize(search)
        trials = search.store.trials("search")
    assert [epochs for _, epochs in asked] == [1] * 4 + [2] * 2 + [4] + [1] * 4 + [2] * 2 + [4]
    assert sorted(len(trial.curve) for trial in trials) == [1, 1, 1, 1, 2, 2, 4, 4]


def test_asking_and_telling_goes_on_with_those_that_are_promoted(options, tmp_path):
    known = []
    with nf.Run.create(tmp_path / "run", options) as run:
        while not run.finished:
            for candidate in run.ask(3):
                known.append((candidate.id, candidate.epochs))
                start = 20 + int(candidate.id[:2], 16) / 10
                run.tell(candidate, [start + epoch for epoch in range(candidate.epochs)])
    assert [epochs for _, epochs in known] == [1] * 4 + [2] * 2 + [4] + [1] * 4 + [2] * 2 + [4]


def test_a_pool_too_small_for_what_begins_is_refused(options, tmp_path):
    few = {**options, "pool_size": 64, "trials_per_batch": 20, "iterations": 2}
    with pytest.raises(UserError, match="pool_size is 64; 2 batches of 40 need at least 80"):
        pipeline.open_search(tmp_path / "run", few)


def test_the_option_is_stored_and_older_runs_do_without(finished):
    with RunStore.read(finished) as store:
        assert json.loads(json.dumps(store.config))["halving"] is True
