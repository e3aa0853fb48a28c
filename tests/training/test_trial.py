import dataclasses
import errno
import pickle

import pytest
import torch
from safetensors import SafetensorError

from narsfast.arch import NetworkSpec, create, load_weights
from narsfast.common.preparation import Preparation
from narsfast.data import save_dataset, shared_data
from narsfast.errors import MachineError, UserError
from narsfast.training import TrainerSettings, TrialTask, _trial, evaluate, remove_checkpoint, run_trial
from narsfast.training._loop import Loop

OUT_OF_MEMORY = (
    "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 14.75 GiB of which 8.06 MiB is "
    "free. Including non-PyTorch memory, this process has {all} memory in use. Of the allocated memory {held} is "
    "allocated by PyTorch, and 100.00 MiB is reserved by PyTorch but unallocated."
)
FILLED_BY_ITSELF = OUT_OF_MEMORY.format(all="14.74 GiB", held="13.90 GiB")
FILLED_BY_OTHERS = OUT_OF_MEMORY.format(all="2.10 GiB", held="1.50 GiB")


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
    output, task = tmp_path / "deep" / "er", dataclasses.replace(task, schedule_epochs=task.epochs)
    trial = run_trial(dataclasses.replace(task, output=str(output)))
    assert sorted(p.name for p in output.iterdir()) == ["checkpoint.pt", "weights.safetensors"]
    remove_checkpoint(dataclasses.replace(task, output=str(output)))
    assert [p.name for p in output.iterdir()] == ["weights.safetensors"]
    network = create(small, num_classes=10, in_chans=1)
    load_weights(network, output / "weights.safetensors")
    assert evaluate(network, shared_data("digits").val, 16).accuracy == trial.curve[-1]


def test_a_training_that_is_cut_goes_on_to_the_same_end(task, tmp_path, monkeypatch):
    task = dataclasses.replace(task, epochs=3, schedule_epochs=3)
    whole = run_trial(dataclasses.replace(task, output=str(tmp_path / "whole")))
    part = dataclasses.replace(task, output=str(tmp_path / "part"))
    first = run_trial(dataclasses.replace(part, epochs=1))
    assert (first.curve, first.epochs) == (whole.curve[:1], 1)
    assert [p.name for p in (tmp_path / "part").iterdir()] == ["checkpoint.pt"]
    epochs, epoch = [], Loop.epoch
    monkeypatch.setattr(Loop, "epoch", lambda loop, number: (epochs.append(number), epoch(loop, number)))
    assert dataclasses.replace(run_trial(part), seconds=0.0) == dataclasses.replace(whole, seconds=0.0)
    assert epochs == [1, 2]
    weights = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("part", "whole")]
    assert weights[0] == weights[1]
    with pytest.raises(UserError, match=r"epochs is 2, and checkpoint .* has 3 of this training; remove it"):
        run_trial(dataclasses.replace(part, epochs=2))


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
        (torch.OutOfMemoryError(FILLED_BY_ITSELF), "out_of_memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory"),
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


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "/run/checkpoint.pt"),
            "the disk is full .*checkpoint",
        ),
        (
            OSError(errno.ENOTCONN, "Transport endpoint is not connected", "/data/a.png"),
            "cannot be reached .*a.png",
        ),
        (SafetensorError("I/O error: No space left on device (os error 28)"), "the disk is full"),
        (
            RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"),
            "the disk is full",
        ),
        (MemoryError(), "out of memory"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            "out of memory",
        ),
        (RuntimeError("could not create a primitive"), "out of memory"),
        (torch.OutOfMemoryError(FILLED_BY_OTHERS), "other processes fill the GPU"),
        (RuntimeError("CUDA error: unspecified launch failure"), "the GPU or its driver failed"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), "a process was lost"),
    ],
)
def test_trouble_of_the_machine_is_no_outcome(task, monkeypatch, error, said):
    def fall(*_, **__):
        raise error

    monkeypatch.setattr(_trial, "train", fall)
    with pytest.raises(MachineError, match=said):
        run_trial(task)


def test_data_out_of_reach_is_no_outcome(task, monkeypatch):
    def vanish(*_, **__):
        raise OSError(errno.ESTALE, "Stale file handle", "/data/photos")

    monkeypatch.setattr(_trial, "shared_data", vanish)
    with pytest.raises(MachineError, match="photos: Stale file handle"):
        run_trial(task)


def test_more_memory_than_the_machine_has_is_an_outcome(task, monkeypatch):
    """No waiting makes room for it."""

    def fall(*_, **__):
        torch.empty(2**60)

    monkeypatch.setattr(_trial, "train", fall)
    assert run_trial(task).outcome == "out_of_memory"


def test_weights_that_could_not_be_written_cost_no_epoch(task, tmp_path, monkeypatch):
    """The checkpoint stays, and the next attempt has nothing left to train."""
    task = dataclasses.replace(task, schedule_epochs=task.epochs)
    kept = dataclasses.replace(task, output=str(tmp_path / "out"))
    whole = run_trial(dataclasses.replace(task, output=str(tmp_path / "whole")))

    def full(*_):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr(_trial, "save_weights", full)
        with pytest.raises(MachineError, match="the disk is full"):
            run_trial(kept)
    monkeypatch.setattr("narsfast.training._loop.Loop.epoch", lambda *_: pytest.fail("was trained again"))
    again = run_trial(kept)
    assert dataclasses.replace(again, seconds=0.0) == dataclasses.replace(whole, seconds=0.0)
    weights = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("out", "whole")]
    assert weights[0] == weights[1]


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


def test_images_are_prepared_as_the_network_was_given_them(task, tmp_path):
    """Training and evaluation see them so, a checkpoint of others is refused, and the shared data stays as it was."""
    preparation = Preparation((0.4, 0.5, 0.6), (0.2, 0.2, 0.2), "bicubic", 0.875)
    mean = shared_data("digits").preprocess.mean
    own = dataclasses.replace(task, preparation=preparation, output=str(tmp_path))
    prepared, plain = run_trial(own), run_trial(task)
    assert (prepared.outcome, shared_data("digits").preprocess.mean) == ("ok", mean)
    assert prepared.curve != plain.curve
    other = dataclasses.replace(own, preparation=dataclasses.replace(preparation, interpolation="bilinear"))
    with pytest.raises(UserError, match=r"other arguments \(data.preparation.interpolation"):
        run_trial(other)
