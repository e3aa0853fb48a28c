import importlib
import math

import pytest
import torch
from torch import nn

from narsfast.errors import UserError
from narsfast.space import Recipe, optimizer_info
from narsfast.training import MovingAverage, RMSpropTF, _optimizer, build_optimizer

from .apex_stub import nvidias

OPTIMIZERS = ["rmsprop", "sgd", "adamw"]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weight_decay_acts_on_the_first_group_only(name):
    recipe = Recipe(optimizer=name, learning_rate=0.1, weight_decay=0.5, momentum=0.0)
    decayed, plain = (torch.ones(3, requires_grad=True) for _ in range(2))
    optimizer = build_optimizer(recipe, [decayed], [plain])
    for weight in (decayed, plain):
        weight.grad = torch.zeros(3)
    optimizer.step()
    assert (decayed < 1).all()
    assert plain.equal(torch.ones(3))


def test_sgd_is_nesterov_at_its_own_learning_rate():
    recipe = Recipe(optimizer="sgd", learning_rate=0.01, sgd_factor=5.0, momentum=0.9, weight_decay=0.0)
    weight = torch.zeros(1, requires_grad=True)
    optimizer = build_optimizer(recipe, [weight], [])
    weight.grad = torch.ones(1)
    optimizer.step()
    assert weight.item() == pytest.approx(-0.05 * 1.9)  # gradient + momentum * velocity


def test_adamw_follows_its_formula():
    recipe = Recipe(
        optimizer="adamw",
        learning_rate=0.1,
        adamw_factor=0.5,
        momentum=0.8,
        beta2=0.9,
        weight_decay=1e-4,
        adamw_decay_factor=1000.0,
    )
    weight = torch.tensor([1.0, -2.0], requires_grad=True)
    optimizer = build_optimizer(recipe, [weight], [])
    expected, mean, square = weight.detach().clone(), torch.zeros(2), torch.zeros(2)
    for step in range(1, 4):
        gradient = torch.tensor([0.3, -1.0]) * step
        weight.grad = gradient.clone()
        optimizer.step()
        mean = 0.8 * mean + 0.2 * gradient
        square = 0.9 * square + 0.1 * gradient**2
        expected = expected - 0.05 * 0.1 * expected
        expected -= 0.05 * (mean / (1 - 0.8**step)) / ((square / (1 - 0.9**step)).sqrt() + 1e-8)
    torch.testing.assert_close(weight.detach(), expected)


@pytest.mark.parametrize("name", ["rmsprop", "adamw"])
def test_epsilon_is_the_one_of_the_registry(name):
    optimizer = build_optimizer(Recipe(optimizer=name), [torch.ones(1, requires_grad=True)], [])
    assert {group["eps"] for group in optimizer.param_groups} == {optimizer_info(name).epsilon}


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_torch_steps_are_fused_for_float32_and_multi_tensor_otherwise(name):
    recipe = Recipe(optimizer=name, learning_rate=0.1)
    weights = [torch.ones(3, requires_grad=True), torch.ones(2, dtype=torch.float64, requires_grad=True)]
    for chosen, fused in ((weights[:1], True), (weights, False)):
        optimizer = build_optimizer(recipe, chosen, [])
        assert all(bool(group["fused"]) is fused for group in optimizer.param_groups)
        assert all(bool(group["foreach"]) is not fused for group in optimizer.param_groups)
        for weight in chosen:
            weight.grad = torch.ones_like(weight)
        optimizer.step()
        assert all((weight < 1).all() for weight in chosen)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_fused_step_of_whole_registers_equals_the_loop_of_torch(name):
    """Flat vectors are that long, so a fused training is bit for bit a training by the plain optimizer."""
    recipe = Recipe(optimizer=name, learning_rate=0.1, weight_decay=1e-3)
    results = []
    for fused in (True, False):
        torch.manual_seed(0)
        weight = torch.randn(1008, requires_grad=True)
        optimizer = build_optimizer(recipe, [weight], [])
        if not fused:
            kind, group = type(optimizer), optimizer.param_groups[0]
            wanted = {"lr", "momentum", "nesterov", "betas", "eps", "weight_decay"}
            optimizer = kind([weight], **{key: group[key] for key in wanted & group.keys()}, foreach=False)
        for _ in range(5):
            weight.grad = torch.randn(1008)
            optimizer.step()
        results.append(weight.detach().clone())
    torch.testing.assert_close(*results, rtol=1e-6, atol=1e-7)
    if name == "sgd":
        assert results[0].equal(results[1])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_average_is_updated_with_the_new_weights(name):
    weight = torch.ones(3, requires_grad=True)
    buffer = torch.full((2,), 5.0)
    average = MovingAverage([weight, buffer], decay=0.9)
    recipe = Recipe(optimizer=name, learning_rate=0.1, momentum=0.0)
    optimizer = build_optimizer(recipe, [weight], [], average=average)
    weight.grad = torch.ones(3)
    buffer.fill_(7.0)
    optimizer.step()
    kept = 2 / 11  # of the first step
    (_, weights), (_, buffers) = average.pairs
    assert weight.max() < 1
    torch.testing.assert_close(weights, kept + (1 - kept) * weight.detach())
    torch.testing.assert_close(buffers, torch.full((2,), kept * 5 + (1 - kept) * 7))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_skipped_amp_step_does_not_update_ema(name):
    weight = torch.ones(16, requires_grad=True)
    average = MovingAverage([weight], decay=0.9)
    recipe = Recipe(optimizer=name, learning_rate=0.1)
    optimizer = build_optimizer(recipe, [weight], [], average=average)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    for gradient in (1.0, math.inf, 1.0):
        weight.grad = None
        scaler.scale((weight * gradient).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
    assert weight.isfinite().all()
    assert average.advance() == pytest.approx(4 / 13)  # this is the third step that counts


@pytest.fixture
def on_cuda(apex, monkeypatch):
    """NVIDIA's apex in outline, and weights that pass for CUDA's."""
    nvidias(apex)
    monkeypatch.setattr(_optimizer, "device_type", lambda tensors: "cuda")
    return importlib.import_module("apex.optimizers").calls


@pytest.mark.parametrize("backend", ["auto", "apex"])
def test_apex_gets_the_values_of_the_recipe(on_cuda, backend):
    values = {"learning_rate": 0.01, "sgd_factor": 4.0, "adamw_factor": 0.5, "momentum": 0.8, "beta2": 0.99}
    weight, norm = (torch.ones(3, requires_grad=True) for _ in range(2))
    decays = []
    for name in ("sgd", "adamw", "lamb"):
        recipe = Recipe(optimizer=name, weight_decay=1e-5, adamw_decay_factor=1000.0, **values)
        optimizer = build_optimizer(recipe, [weight], [norm], backend=backend)
        decays.append([group["weight_decay"] for group in optimizer.param_groups])
    assert on_cuda == [
        ("FusedSGD", 0.04, {"momentum": 0.8, "nesterov": True}),
        ("FusedAdam", 0.005, {"betas": (0.8, 0.99), "eps": 1e-8, "adam_w_mode": True}),
        ("FusedLAMB", 0.005, {"betas": (0.8, 0.99), "eps": 1e-6, "max_grad_norm": math.inf}),
    ]
    torch.testing.assert_close(decays, [[1e-5, 0.0], [0.01, 0.0], [0.01, 0.0]])


@pytest.mark.parametrize("name", ["sgd", "adamw", "lamb"])
def test_average_is_updated_after_a_step_of_apex(on_cuda, name):
    weight = torch.ones(3, requires_grad=True)
    average = MovingAverage([weight], decay=0.9)
    recipe = Recipe(optimizer=name, learning_rate=0.1)
    optimizer = build_optimizer(recipe, [weight], [], average=average)
    weight.grad = torch.ones(3)
    optimizer.step()
    assert weight.max() < 1
    torch.testing.assert_close(average.pairs[0][1], 2 / 11 + 9 / 11 * weight.detach())


@pytest.mark.parametrize("backend", ["auto", "apex"])
def test_rmsprop_under_apex_is_of_this_project(on_cuda, backend):
    weight = nn.Parameter(torch.ones(3))
    assert isinstance(build_optimizer(Recipe(), [weight], [], backend=backend), RMSpropTF)
    assert on_cuda == []


def test_building_lamb_without_apex_is_refused():
    with pytest.raises(UserError, match="optimizer is 'lamb', which only NVIDIA's apex on CUDA computes"):
        build_optimizer(Recipe(optimizer="lamb"), [torch.ones(1, requires_grad=True)], [])
