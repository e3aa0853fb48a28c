"""A training that is killed and resumed, beside one that is never interrupted."""

import dataclasses
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from narsfast.arch import NetworkSpec
from narsfast.data import load_data, loader_version
from narsfast.errors import UserError
from narsfast.space import Recipe
from narsfast.training import (
    CHECKPOINT_FILE,
    Distillation,
    Teacher,
    TrainerSettings,
    TrialTask,
    run_trial,
    train,
)

RECIPE = Recipe(batch_size=32, mixup=0.3, dropout=0.3, drop_path=0.2, augmentation="randaugment")


class Killed(BaseException):
    pass


def state(training):
    return training.network.state_dict()


def run(small, data, path=None, recipe=RECIPE, epochs=4, die_at=None, settings=None, **options):
    """Train, and die when `die_at` of the training is done."""

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
        # Of 4 epochs, 1.2 are frozen: one interruption is before that ends, two are after it.
        ({"optimizer": "sgd", "frozen": 0.6, "frozen_until": 0.3, "layer_decay": 0.8}, {}),
        ({"frozen": 1.0, "frozen_until": 0.75, "head_factor": 3.0}, {"clip_norm": 1.0}),
    ],
)
def test_resumed_training_equals_an_uninterrupted_one_bit_for_bit(
    small, few_digits, tmp_path, recipe, settings
):
    options = {"recipe": RECIPE.model_copy(update=recipe), "settings": TrainerSettings(**settings)}
    path = tmp_path / "weights" / CHECKPOINT_FILE
    whole = run(small, few_digits, **options)
    for every in (1, 2):
        for share in (0.3, 0.55, 0.8):  # of four epochs: in the second, the third and the last
            with pytest.raises(Killed):
                run(small, few_digits, path, die_at=share, checkpoint_epochs=every, **options)
            assert path.exists() == (share > 0.5 or every == 1)
        torch.manual_seed(99)
        again = run(small, few_digits, path, checkpoint_epochs=every, **options)
        assert again.curve == whole.curve
        assert again.losses == whole.losses
        assert again.metrics == whole.metrics
        assert all(state(whole)[name].equal(tensor) for name, tensor in state(again).items())
        assert list(path.parent.iterdir()) == []


@pytest.mark.filterwarnings("ignore:narsfast has no fused kernels")
def test_loss_scale_is_resumed(small, few_digits, tmp_path, monkeypatch):
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


def test_resumed_training_trains_only_the_remaining_epochs(small, few_digits, tmp_path):
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


def test_epochs_above_a_guess_are_counted_across_an_interruption(small, few_digits, tmp_path, monkeypatch):
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
            r"recipe.learning_rate \(stored 0.005, given 0.25\)",
        ),
        ({"epochs": 5}, r"epochs \(stored 4, given 5\)"),
        (
            {"settings": TrainerSettings(precision="bfloat16")},
            r"settings.precision \(stored 'float32', given 'bfloat16'\)",
        ),
    ],
)
def test_checkpoint_of_other_arguments_is_refused(small, few_digits, tmp_path, changed, said):
    path = tmp_path / CHECKPOINT_FILE
    with pytest.raises(Killed):
        run(small, few_digits, path, die_at=0.55)
    with pytest.raises(UserError, match=f"belongs to a training with other arguments.*{said}.*remove it"):
        run(small, few_digits, path, **changed)
    other = small.model_copy(update={"resolution": 32})
    with pytest.raises(UserError, match=r"resolution \(stored 16, given 32\)"):
        run(other, few_digits, path)
    assert path.exists()


def test_file_that_is_not_a_checkpoint_and_a_wrong_period_are_refused(small, few_digits, tmp_path):
    path = tmp_path / CHECKPOINT_FILE
    path.write_bytes(b"nonsense")
    with pytest.raises(UserError, match=r"cannot be read.*remove it to start over"):
        run(small, few_digits, path)
    with pytest.raises(UserError, match="checkpoint_epochs is 0; it must be at least 1"):
        run(small, few_digits, path, checkpoint_epochs=0)


def test_checkpoint_of_a_recipe_without_a_newer_field_is_resumed(small, few_digits, tmp_path):
    path = tmp_path / CHECKPOINT_FILE
    whole = run(small, few_digits)
    with pytest.raises(Killed):
        run(small, few_digits, path, die_at=0.55)
    content = torch.load(path, weights_only=True)
    assert content["arguments"]["recipe"].pop("class_balance") == "none"
    torch.save(content, path)
    with pytest.raises(UserError, match=r"recipe.class_balance \(stored 'none', given 'loss'\)"):
        run(small, few_digits, path, recipe=RECIPE.model_copy(update={"class_balance": "loss"}))
    again = run(small, few_digits, path)
    assert (again.curve, again.losses) == (whole.curve, whole.losses)


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


def test_killed_final_training_is_resumed_to_the_same_weights(task, tmp_path):
    died = subprocess.run(
        [sys.executable, "-c", DIE, pickle.dumps(task).hex()], check=False, timeout=60, cwd=tmp_path
    )
    assert died.returncode == -signal.SIGKILL
    assert [file.name for file in (tmp_path / "final").iterdir()] == [CHECKPOINT_FILE]
    shares = []
    trial = run_trial(task, shares.append)
    assert trial.outcome == "ok"
    assert min(shares) > 2 / 3
    assert (tmp_path / "final" / CHECKPOINT_FILE).exists()  # until the trial is stored
    whole = run_trial(dataclasses.replace(task, output=str(tmp_path / "whole")))
    assert whole.curve == trial.curve
    files = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("final", "whole")]
    assert files[0] == files[1]


@pytest.fixture
def of_version_0_1(tmp_path):
    """Provide a checkpoint of version 0.1.0, after two of three epochs, as if made with the torch that is installed."""
    folder = Path(__file__).parent / "version_0_1"
    content = torch.load(folder / CHECKPOINT_FILE, weights_only=True)
    assert content["arguments"]["versions"]["narsfast"] == "0.1.0"
    content["arguments"]["versions"]["torch"] = str(torch.__version__)
    content["arguments"]["loader"][1] = loader_version("torchvision")
    torch.save(content, tmp_path / CHECKPOINT_FILE)
    weights, network = str(folder / "teacher.safetensors"), {"mean": (0.3,), "std": (0.4,)}

    def resume(small, **changed):
        data = load_data("digits")
        teacher = Distillation(weights, NetworkSpec.of(small), resize=False, weight=0.1, **network)
        recipe = Recipe(
            learning_rate=0.02,
            lr_final=0.1,
            warmup_epochs=0.5,
            ema_decay=0.99,
            mixup=0.2,
            dropout=0.1,
            drop_path=0.1,
            augmentation="randaugment",
            color=0.2,
            erasing=0.1,
            **changed,
        )
        return train(
            NetworkSpec.of(small),
            recipe,
            data,
            3,
            7,
            checkpoint=tmp_path / CHECKPOINT_FILE,
            teacher=Teacher(teacher, data),
        )

    return resume


@pytest.mark.exports  # the stored modules are described as newer versions of torch do
def test_checkpoint_of_version_0_1_is_resumed(small, of_version_0_1):
    resumed = of_version_0_1(small)
    assert resumed.curve[:2] == (8.635097493036211, 11.420612813370473)
    assert resumed.losses[:2] == (2.0723037719726562, 2.0701656341552734)
    assert resumed.curve[2] == pytest.approx(
        22.56, abs=3
    )  # as that version ended; machines differ in rounding
    assert resumed.losses[2] == pytest.approx(2.0647, abs=0.01)
    known = resumed.metrics
    assert (known.training_loss, known.ema_accuracy) == (resumed.losses, resumed.curve)
    assert [value is None for value in known.cross_entropy] == [True, True, False]
    assert [value is None for value in known.raw_accuracy] == [True, True, False]


@pytest.mark.exports
def test_checkpoint_of_version_0_1_with_other_arguments_is_refused(small, of_version_0_1):
    with pytest.raises(UserError, match=r"arguments \(recipe.cutmix \(stored 0.0, given 1.0\)\); remove it"):
        of_version_0_1(small, cutmix=1.0)


def test_checkpoint_of_a_version_that_trains_otherwise_is_refused(small, of_version_0_1, monkeypatch):
    monkeypatch.setattr("narsfast.training._loop.__version__", "9.0.0")
    with pytest.raises(UserError, match=r"versions.narsfast \(stored '0.1.0', given '9.0.0'\)"):
        of_version_0_1(small)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (("loader_version", lambda name: "9.9"), "loader "),
        (
            ("effective_backend", lambda optimizer, backend: "torch"),
            r"optim_backend \(stored 'native', given 'torch'\)",
        ),
    ],
)
def test_checkpoint_with_another_resolved_auto_is_refused(
    small, few_digits, tmp_path, monkeypatch, changed, said
):
    path = tmp_path / CHECKPOINT_FILE
    with pytest.raises(Killed):
        run(small, few_digits, path, die_at=0.55)
    monkeypatch.setattr(f"narsfast.training._loop.{changed[0]}", changed[1])
    with pytest.raises(UserError, match=said):
        run(small, few_digits, path)
