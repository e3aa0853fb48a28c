"""Mixed precision, micro-batches and clipping, beside the plain float32 step."""

import pytest
import torch

from narsfast.arch import NetworkSpec
from narsfast.data import load_data
from narsfast.errors import UserError
from narsfast.space import Recipe
from narsfast.training import TrainerSettings, evaluate, train
from narsfast.training._device import training_device

RECIPE = Recipe(learning_rate=0.02, batch_size=64, warmup_epochs=0.5, lr_final=0.1)
LEARNS = Recipe(optimizer="sgd", learning_rate=0.1, batch_size=32, label_smoothing=0.0, augmentation="none")


def weights(training):
    return torch.cat([p.detach().cpu().flatten() for p in training.network.parameters()])


def run(small, data, recipe=RECIPE, epochs=1, **settings):
    return train(
        NetworkSpec.of(small),
        recipe,
        data,
        epochs,
        0,
        settings=TrainerSettings(**settings),
        keep_network=True,
    )


@pytest.fixture(scope="module")
def plain(small):
    return run(small, load_data("digits"), LEARNS, 4)


@pytest.mark.parametrize("ops", ["fused", "torch"])
def test_curve_in_bfloat16_is_close_to_float32(small, plain, ops):
    data = load_data("digits")
    half = run(small, data, LEARNS, 4, precision="bfloat16", ops=ops)
    assert half.outcome == "ok"
    assert not weights(half).equal(weights(plain))
    assert all(p.dtype is torch.float32 for p in half.network.parameters())
    assert plain.curve[-1] > 60
    assert half.curve[-1] == pytest.approx(plain.curve[-1], abs=5)
    assert half.losses == pytest.approx(plain.losses, rel=0.15)
    assert evaluate(half.network, data.val, 16).accuracy == half.curve[-1]


@pytest.mark.filterwarnings("ignore:narsfast has no fused kernels")
@pytest.mark.parametrize(("optimizer", "rate"), [("rmsprop", 0.03), ("sgd", 0.1)])
def test_float16_scales_its_loss_and_learns(small, optimizer, rate, monkeypatch):
    scales = []
    update = torch.amp.grad_scaler.GradScaler.update

    def recording(scaler):
        update(scaler)
        scales.append(scaler.get_scale())

    monkeypatch.setattr("torch.amp.grad_scaler.GradScaler.update", recording)
    recipe = LEARNS.model_copy(update={"optimizer": optimizer, "learning_rate": rate})
    half = run(small, load_data("digits"), recipe, epochs=2, precision="float16", clip_norm=2.0)
    assert half.outcome == "ok"
    assert half.losses[1] < 0.97 * half.losses[0]
    assert scales[0] >= 2**10
    full = run(small, load_data("digits"), recipe, epochs=2, clip_norm=2.0)
    assert half.losses == pytest.approx(full.losses, rel=0.1)


@pytest.mark.filterwarnings("ignore:narsfast has no fused kernels")
@pytest.mark.parametrize("optimizer", ["rmsprop", "sgd"])
def test_overflowing_step_changes_neither_weights_nor_average(small, few_digits, optimizer, monkeypatch):
    """With a scale beyond float16 every gradient is infinite: nothing may move."""
    monkeypatch.setattr(
        "narsfast.training._precision.GradScaler",
        lambda device, enabled: torch.amp.GradScaler(device, init_scale=2.0**60, enabled=enabled),
    )
    recipe = RECIPE.model_copy(update={"optimizer": optimizer, "batch_size": 80})
    still = run(small, few_digits, recipe, precision="float16")
    moved = run(small, few_digits, recipe, precision="float32")
    start = run(small, few_digits, recipe.model_copy(update={"learning_rate": 1e-30}))
    torch.testing.assert_close(weights(still), weights(start))
    assert not weights(moved).equal(weights(start))


@pytest.mark.filterwarnings("ignore:narsfast has no fused kernels")
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_divergence_is_an_outcome_in_every_precision(small, few_digits, precision):
    recipe = RECIPE.model_copy(update={"learning_rate": 1e12, "warmup_epochs": 0})
    result = run(small, few_digits, recipe, 6, precision=precision)
    assert result.outcome == "diverged"
    assert "loss" in result.message


def without_norms(definition, data, monkeypatch, **settings):
    """Train a network without norms, as micro-batches have other batch statistics than the whole batch."""
    build = torch.nn.Sequential

    def network(*_, **__):
        return build(
            torch.nn.Conv2d(1, 8, 3, 2, bias=True),
            torch.nn.ReLU(),
            torch.nn.Flatten(),
            torch.nn.Linear(392, 10),
        )

    monkeypatch.setattr(NetworkSpec, "build", network)
    return run(definition, data, RECIPE.model_copy(update={"batch_size": 36, "mixup": 0.3}), 2, **settings)


@pytest.mark.parametrize("accumulate", [2, 3, 5, 1000])
def test_gradients_of_micro_batches_add_up_to_those_of_the_batch(small, few_digits, monkeypatch, accumulate):
    whole = without_norms(small, few_digits, monkeypatch)
    parts = without_norms(small, few_digits, monkeypatch, accumulate=accumulate)
    torch.testing.assert_close(weights(parts), weights(whole), rtol=1e-4, atol=1e-5)
    assert parts.losses == pytest.approx(whole.losses, rel=1e-5)


def test_micro_batches_have_their_own_batch_statistics(small, few_digits):
    recipe = RECIPE.model_copy(update={"ema": False, "batch_size": 40})
    seen = []
    for accumulate in (1, 2, 1000):
        result = run(small, few_digits, recipe, accumulate=accumulate)
        (counted,) = {int(b) for name, b in result.network.named_buffers() if name.endswith("tracked")}
        seen.append(counted)
    assert seen == [4, 8, 80]  # four steps; micro-batches of two images at least


def test_clipping_bounds_the_norm_of_all_gradients(small, few_digits, monkeypatch):
    norms = []
    step = torch.optim.SGD.step

    def recording(optimizer, *rest):
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"]]
        norms.append(float(torch.cat(gradients).norm()))
        return step(optimizer, *rest)

    monkeypatch.setattr(torch.optim.SGD, "step", recording)
    recipe = RECIPE.model_copy(update={"optimizer": "sgd"})
    run(small, few_digits, recipe)
    free, norms = norms, []
    run(small, few_digits, recipe, clip_norm=0.5 * min(free))
    assert norms == pytest.approx([0.5 * min(free)] * len(free), rel=1e-3)
    norms = []
    run(small, few_digits, recipe, clip_norm=1e9)
    assert norms == free


def test_missing_device_is_refused(small, few_digits, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UserError, match="device is 'cuda'"):
        run(small, few_digits, device="cuda")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert training_device("auto") == torch.device("cuda", 1)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(UserError, match="process 3 on this machine needs a GPU of its own and there are 2"):
        training_device("cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_training_on_a_gpu_is_close_to_the_cpu(small, plain, precision):
    data = load_data("digits")
    there = run(small, data, LEARNS, 4, device="cuda", precision=precision)
    assert all(p.is_cuda for p in there.network.parameters())
    assert there.losses == pytest.approx(plain.losses, rel=0.15)
    assert there.curve[-1] == pytest.approx(plain.curve[-1], abs=5)
