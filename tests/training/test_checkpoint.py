"""A training that is killed and goes on, beside one that is never interrupted."""

import dataclasses
import pickle
import signal
import subprocess
import sys

import pytest
import torch
from torch import nn

from narsfast.arch import NetworkSpec
from narsfast.errors import UserError
from narsfast.space import Recipe
from narsfast.training import CHECKPOINT_FILE, TrainerSettings, TrialTask, run_trial, train

RECIPE = Recipe(batch_size=32, mixup=0.3, dropout=0.3, drop_path=0.2, augmentation="randaugment")


class Killed(BaseException):
    pass


def state(training):
    return training.network.state_dict()


def run(small, data, path=None, recipe=RECIPE, epochs=4, die_at=None, settings=None, **options):
    """A training that dies when it is `die_at` of the way."""

    def report(share):
        if die_at is not None and share >= die_at:
            raise Killed

    return train(
        NetworkSpec.of(small),
        recipe,
        data,
        epochs,
        0,
        keep_network=True,
        checkpoint=path,
        report=report,
        settings=settings,
        **options,
    )


@pytest.mark.filterwarnings("ignore:narsfast has no fused kernels")
@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        ({}, {}),
        ({"optimizer": "sgd"}, {}),
        ({"ema": False, "schedule": "cosine"}, {"optim_backend": "torch", "accumulate": 2}),
        ({}, {"precision": "bfloat16", "clip_norm": 1.0}),
        ({"optimizer": "sgd"}, {"precision": "float16"}),
    ],
)
@pytest.mark.parametrize("every", [1, 2])
def test_going_on_is_bit_for_bit_never_having_stopped(small, few_digits, tmp_path, recipe, settings, every):
    options = {"recipe": RECIPE.model_copy(update=recipe), "settings": TrainerSettings(**settings)}
    path = tmp_path / "weights" / CHECKPOINT_FILE
    whole = run(small, few_digits, **options)
    for share in (0.3, 0.55, 0.8):  # of four epochs: in the second, the third and the last
        with pytest.raises(Killed):
            run(small, few_digits, path, die_at=share, checkpoint_epochs=every, **options)
        assert path.exists() == (share > 0.5 or every == 1)
    torch.manual_seed(99)
    again = run(small, few_digits, path, checkpoint_epochs=every, **options)
    assert again.curve == whole.curve
    assert again.losses == whole.losses
    assert all(state(whole)[name].equal(tensor) for name, tensor in state(again).items())
    assert list(path.parent.iterdir()) == []


@pytest.mark.filterwarnings("ignore:narsfast has no fused kernels")
def test_the_scale_of_the_loss_goes_on(small, few_digits, tmp_path, monkeypatch):
    scales = []

    class Growing(torch.amp.GradScaler):
        def __init__(self, device, enabled):
            super().__init__(device, init_scale=2.0, growth_interval=3, enabled=enabled)

        def update(self):
            super().update()
            scales.append(self.get_scale())

    monkeypatch.setattr("narsfast.training._precision.GradScaler", Growing)
    settings = TrainerSettings(precision="float16")
    run(small, few_digits, epochs=3, settings=settings)
    whole, steps = scales.copy(), len(scales) // 3
    assert whole[-1] == 2.0 * 2 ** (len(whole) // 3)
    with pytest.raises(Killed):
        run(small, few_digits, tmp_path / "c", epochs=3, settings=settings, die_at=0.5)
    scales.clear()
    run(small, few_digits, tmp_path / "c", epochs=3, settings=settings)
    assert scales == whole[steps:]


def test_only_what_is_left_is_trained(small, few_digits, tmp_path):
    path = tmp_path / CHECKPOINT_FILE
    with pytest.raises(Killed):
        run(small, few_digits, path, die_at=0.8)
    shares = []
    train(NetworkSpec.of(small), RECIPE, few_digits, 4, 0, checkpoint=path, report=shares.append)
    assert shares == [1.0]


class Confused(nn.Module):
    """Finite, and confidently wrong whatever it learns."""

    def __init__(self, *_, **__):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, 1))
        self.register_buffer("state", torch.zeros(1))

    def forward(self, x):
        return 20.0 * torch.eye(10)[torch.zeros(len(x), dtype=torch.int64)] + 0 * self.weight


def test_epochs_above_a_guess_are_counted_over_an_interruption(small, few_digits, tmp_path, monkeypatch):
    monkeypatch.setattr(NetworkSpec, "build", Confused)
    path = tmp_path / CHECKPOINT_FILE
    with pytest.raises(Killed):
        run(small, few_digits, path, epochs=6, die_at=0.4)
    again = run(small, few_digits, path, epochs=6)
    assert again.outcome == "diverged"
    assert "epoch 3" in again.message
    assert len(again.curve) == 2
    assert not path.exists()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"recipe": RECIPE.model_copy(update={"learning_rate": 0.25})},
            "recipe.learning_rate was 0.005, is 0.25",
        ),
        ({"epochs": 5}, "epochs was 4, is 5"),
        (
            {"settings": TrainerSettings(precision="bfloat16")},
            "settings.precision was 'float32', is 'bfloat16'",
        ),
    ],
)
def test_a_checkpoint_of_other_arguments_is_refused(small, few_digits, tmp_path, changed, said):
    path = tmp_path / CHECKPOINT_FILE
    with pytest.raises(Killed):
        run(small, few_digits, path, die_at=0.55)
    with pytest.raises(UserError, match=f"belongs to a training with other arguments.*{said}.*remove it"):
        run(small, few_digits, path, **changed)
    other = small.model_copy(update={"resolution": 32})
    with pytest.raises(UserError, match="resolution was 16, is 32"):
        run(other, few_digits, path)
    assert path.exists()


def test_a_file_that_is_no_checkpoint_and_a_wrong_period(small, few_digits, tmp_path):
    path = tmp_path / CHECKPOINT_FILE
    path.write_bytes(b"nonsense")
    with pytest.raises(UserError, match=r"cannot be read.*remove it to begin anew"):
        run(small, few_digits, path)
    with pytest.raises(UserError, match="checkpoint_epochs is 0; it must be at least 1"):
        run(small, few_digits, path, checkpoint_epochs=0)


@pytest.fixture
def task(small, tmp_path):
    return TrialTask(
        candidate="0123456789abcdef",
        network=NetworkSpec.of(small),
        recipe={"batch_size": 256, "dropout": 0.2},
        data="digits",
        epochs=3,
        schedule_epochs=3,
        seed=3,
        output=str(tmp_path / "final"),
    )


DIE = """
import os, pickle, signal, sys
from narsfast.training import run_trial
task = pickle.loads(bytes.fromhex(sys.argv[1]))
run_trial(task, lambda share: share > 0.7 and os.kill(os.getpid(), signal.SIGKILL))
"""


def test_a_final_training_that_was_killed_goes_on(task, tmp_path):
    died = subprocess.run(
        [sys.executable, "-c", DIE, pickle.dumps(task).hex()], check=False, timeout=60, cwd=tmp_path
    )
    assert died.returncode == -signal.SIGKILL
    assert [file.name for file in (tmp_path / "final").iterdir()] == [CHECKPOINT_FILE]
    shares = []
    trial = run_trial(task, shares.append)
    assert trial.outcome == "ok"
    assert min(shares) > 2 / 3
    assert [file.name for file in (tmp_path / "final").iterdir()] == ["weights.safetensors"]
    whole = run_trial(dataclasses.replace(task, output=str(tmp_path / "whole")))
    assert whole.curve == trial.curve
    files = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("final", "whole")]
    assert files[0] == files[1]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (("loader_version", lambda name: "9.9"), "loader was"),
        (("effective_backend", lambda optimizer, backend: "torch"), "optim_backend was 'native', is 'torch'"),
    ],
)
def test_what_auto_stood_for_is_part_of_the_training(small, few_digits, tmp_path, monkeypatch, changed, said):
    path = tmp_path / CHECKPOINT_FILE
    with pytest.raises(Killed):
        run(small, few_digits, path, die_at=0.55)
    monkeypatch.setattr(f"narsfast.training._loop.{changed[0]}", changed[1])
    with pytest.raises(UserError, match=said):
        run(small, few_digits, path)
