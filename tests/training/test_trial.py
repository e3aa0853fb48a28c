import dataclasses
import pickle

import pytest
import torch

from narsfast.arch import NetworkSpec, create, load_weights
from narsfast.data import save_dataset, shared_data
from narsfast.errors import UserError
from narsfast.training import TrainerSettings, TrialTask, _trial, evaluate, run_trial


@pytest.fixture
def task(small):
    return TrialTask(
        candidate="0123456789abcdef",
        network=NetworkSpec.of(small),
        recipe={"optimizer": "sgd", "learning_rate": 0.01, "batch_size": 128},
        data="digits",
        epochs=1,
        schedule_epochs=4,
        seed=3,
    )


def test_pickled_task_gives_the_same_trial(task):
    shares = []
    first = run_trial(task, shares.append)
    again = run_trial(pickle.loads(pickle.dumps(task)))
    assert dataclasses.replace(first, seconds=0.0) == dataclasses.replace(again, seconds=0.0)
    assert (first.candidate, first.outcome, first.epochs, first.message) == (task.candidate, "ok", 1, "")
    assert len(first.curve) == 1
    assert shares[-1] == 1
    pickle.loads(pickle.dumps(first))


def test_trial_on_stored_data_equals_that_on_the_original(task, tmp_path):
    file = tmp_path / "digits.safetensors"
    save_dataset(shared_data("digits"), file)
    first, stored = run_trial(task), run_trial(dataclasses.replace(task, data=str(file)))
    assert (stored.outcome, stored.curve) == (first.outcome, first.curve)


def test_weights_in_the_output_folder_are_those_evaluated(task, small, tmp_path):
    output = tmp_path / "deep" / "er"
    trial = run_trial(dataclasses.replace(task, output=str(output)))
    assert [p.name for p in output.iterdir()] == ["weights.safetensors"]
    network = create(small, num_classes=10, in_chans=1)
    load_weights(network, output / "weights.safetensors")
    assert evaluate(network, shared_data("digits").val, 16).accuracy == trial.curve[-1]


def test_training_has_the_settings_of_the_task(task, monkeypatch):
    given = {}

    def record(*_, **options):
        given.update(options)
        raise ValueError

    monkeypatch.setattr(_trial, "train", record)
    settings = TrainerSettings(ops="torch", optim_backend="native")
    run_trial(dataclasses.replace(task, settings=settings))
    assert given["settings"] == settings


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (MemoryError(), "out_of_memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"), "out_of_memory"),
        (RuntimeError("shapes differ\nmore"), "failed"),
        (ValueError("x"), "failed"),
    ],
)
def test_failed_training_is_an_outcome(task, monkeypatch, error, outcome):
    def fall(*_, **__):
        raise error

    monkeypatch.setattr(_trial, "train", fall)
    trial = run_trial(task)
    assert (trial.outcome, trial.curve, trial.epochs) == (outcome, (), 1)
    assert trial.message.startswith(type(error).__name__)
    assert "\n" not in trial.message


def test_actual_lack_of_memory_is_an_outcome(task, monkeypatch):
    def fall(*_, **__):
        torch.empty(2**60)

    monkeypatch.setattr(_trial, "train", fall)
    assert run_trial(task).outcome == "out_of_memory"


def test_diverged_training_writes_no_weights(task, tmp_path):
    bad = dataclasses.replace(
        task, recipe={**task.recipe, "learning_rate": 1e12}, output=str(tmp_path / "out")
    )
    trial = run_trial(bad)
    assert trial.outcome == "diverged"
    assert trial.message
    assert trial.label(1, 10.0) == 10.0
    assert not (tmp_path / "out").exists()


def test_interrupt_is_not_an_outcome(task, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(_trial, "train", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_trial(task)


def test_unusable_data_or_recipe_raises_user_error(task):
    with pytest.raises(UserError, match="nowhere"):
        run_trial(dataclasses.replace(task, data="nowhere"))
    with pytest.raises(UserError, match="dropuot"):
        run_trial(dataclasses.replace(task, recipe={"dropuot": 0.1}))
