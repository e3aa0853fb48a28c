"""RMSProp by the compiled step and by torch's operators, which is the reference."""

import copy

import numpy as np
import pytest
import torch

from narsfast import _native
from narsfast.training import MovingAverage, RMSpropTF

SHAPES = [(), (0,), (1,), (15,), (16,), (33,), (8, 3, 3, 3), (7, 5), (70001,)]


@pytest.fixture(params=_native.isas())
def isa(request, monkeypatch):
    """Each instruction set that this machine runs."""
    monkeypatch.setenv("NARSFAST_ISA", request.param)
    return request.param


def drawn(shapes, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=draw) for shape in shapes]


def trained(weights, backend, steps=4, averaged=True, groups=None, **settings):
    """Weights, states and averages, in lists, after some steps at changing learning rates."""
    weights = [weight.detach().clone().requires_grad_() for weight in weights]
    average = MovingAverage(weights, decay=0.4) if averaged else None
    parts = weights if groups is None else groups(weights)
    optimizer = RMSpropTF(parts, lr=0.1, average=average, backend=backend, **settings)
    for step in range(steps):
        gradients = drawn([weight.shape for weight in weights], seed=step + 1)
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = torch.empty_like(weight).copy_(gradient)
        for group in optimizer.param_groups:
            group["lr"] = 0.1 / (1 + step)
        optimizer.step()
    states = [optimizer.state[weight] for weight in weights]
    averages = [] if average is None else [tensor for _, tensor in average.pairs]
    return weights, [s["square"] for s in states], [s["velocity"] for s in states], averages


def assert_same(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2e-5, atol=1e-6, equal_nan=True)


def test_step_equals_the_formula_in_numpy():
    rng = np.random.default_rng(0)
    w = rng.normal(size=5)
    weight = torch.nn.Parameter(torch.tensor(w))
    optimizer = RMSpropTF([weight], lr=0.1, alpha=0.8, eps=1e-2, momentum=0.7, weight_decay=0.05)
    square, velocity = np.ones(5), np.zeros(5)
    for rate in (0.1, 0.1, 0.02):
        gradient = rng.normal(size=5)
        optimizer.param_groups[0]["lr"] = rate
        weight.grad = torch.tensor(gradient)
        optimizer.step()
        g = gradient + 0.05 * w
        square = 0.8 * square + 0.2 * g**2
        velocity = 0.7 * velocity + rate * g / np.sqrt(square + 1e-2)
        w = w - velocity
        np.testing.assert_allclose(weight.detach().numpy(), w, rtol=1e-12)
        assert weight.grad.equal(torch.tensor(gradient))


def test_epsilon_is_inside_the_root():
    """With a mean square near zero, a step is lr * g / sqrt(eps), not lr * g / eps."""
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = RMSpropTF([weight], lr=1.0, alpha=0.0, eps=1e-4, momentum=0.0)
    weight.grad = torch.tensor([1e-6])
    optimizer.step()
    assert weight.item() == pytest.approx(-1e-6 / 1e-2, rel=1e-4)


def test_parameters_without_gradient_are_left_alone_and_defaults_hold():
    weights = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    optimizer = RMSpropTF(weights, lr=0.1)
    assert {k: optimizer.defaults[k] for k in ("alpha", "eps", "momentum")} == {
        "alpha": 0.9,
        "eps": 1e-3,
        "momentum": 0.9,
    }
    weights[0].grad = torch.ones(2)
    optimizer.step()
    assert not weights[0].equal(torch.ones(2))
    assert weights[1].equal(torch.ones(2))


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("averaged", [True, False])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
def test_compiled_step_equals_torch(averaged, momentum, weight_decay):
    settings = {"averaged": averaged, "momentum": momentum, "weight_decay": weight_decay, "alpha": 0.7}
    weights = drawn(SHAPES)
    assert_same(trained(weights, "native", **settings), trained(weights, "torch", **settings))


@pytest.mark.usefixtures("isa")
def test_each_group_has_its_own_constants():
    def groups(weights):
        return [
            {"params": weights[:4], "weight_decay": 0.1, "momentum": 0.5},
            {"params": weights[4:], "alpha": 0.5, "eps": 0.1},
        ]

    weights = drawn(SHAPES)
    assert_same(trained(weights, "native", groups=groups), trained(weights, "torch", groups=groups))


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
def test_nan_and_infinite_weights_stay_so(weight_decay):
    weights = drawn([(40,)])
    weights[0][[0, 17, 39]] = torch.tensor([float("nan"), float("inf"), -float("inf")])
    settings = {"averaged": False, "weight_decay": weight_decay}
    assert_same(trained(weights, "native", **settings), trained(weights, "torch", **settings))


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("order", [(0, 2, 3, 1), (3, 1, 0, 2)])
def test_compiled_step_takes_any_order_of_dimensions(order):
    plain = torch.randn(6, 5, 3, 4)
    inverse = sorted(range(4), key=order.__getitem__)
    permuted = plain.permute(order).contiguous().permute(inverse)
    assert permuted.equal(plain)
    assert permuted.stride() != plain.stride()
    found = trained([permuted], "native", weight_decay=0.1)
    assert_same(found, trained([plain], "torch", weight_decay=0.1))
    assert {tensor.stride() for tensors in found for tensor in tensors} == {permuted.stride()}


def like(tensor):
    """Copy a tensor with its strides, also where they leave gaps."""
    copied = torch.empty(2 * tensor.numel(), dtype=tensor.dtype).as_strided(tensor.shape, tensor.stride())
    return copied.copy_(tensor)


def one_step(weight, gradient, backend):
    weight = weight.detach().requires_grad_()
    weight.grad = gradient
    average = MovingAverage([weight], decay=0.9)
    RMSpropTF([weight], lr=0.1, average=average, backend=backend).step()
    return weight, average.pairs[0][1]


@pytest.mark.parametrize(
    ("weight", "gradient"),
    [
        (torch.ones(4, 3), torch.arange(12.0).view(3, 4).t()),
        (torch.ones(4, 3), torch.ones(1).expand(4, 3)),
        (torch.ones(8, 3)[::2], torch.arange(24.0).view(8, 3)[::2]),
        (torch.ones(4, dtype=torch.float64), torch.arange(4, dtype=torch.float64)),
        (torch.ones(4, dtype=torch.bfloat16), torch.arange(4, dtype=torch.bfloat16)),
    ],
)
def test_auto_leaves_other_layouts_and_types_to_torch(weight, gradient):
    expected = one_step(like(weight), gradient, "torch")
    for found, wanted in zip(one_step(like(weight), gradient, "auto"), expected, strict=True):
        torch.testing.assert_close(found, wanted)
    with pytest.raises(ValueError, match=r"a weight of shape \(.*take 'auto'"):
        one_step(weight, gradient, "native")
    assert weight.eq(1).all()


def test_result_does_not_depend_on_the_number_of_threads():
    weights = drawn([(400_001,), (3, 70_000), *SHAPES])
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(trained(weights, "native", weight_decay=0.1))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        for ours, theirs in zip(results[0], other, strict=True):
            assert all(a.equal(b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(("first", "second"), [("torch", "native"), ("native", "torch")])
def test_states_move_between_backends(first, second):
    def build(weights, backend):
        return RMSpropTF(
            [{"params": weights[:2], "weight_decay": 0.1}, {"params": weights[2:]}], 0.1, backend=backend
        )

    def steps(optimizer, weights, seeds):
        for seed in seeds:
            for weight, gradient in zip(weights, drawn([w.shape for w in weights], seed), strict=True):
                weight.grad = gradient
            optimizer.step()

    weights = [weight.requires_grad_() for weight in drawn([(3, 4), (5,), (6,)])]
    optimizer = build(weights, first)
    steps(optimizer, weights, [1, 2])
    copies = [weight.detach().clone().requires_grad_() for weight in weights]
    resumed = build(copies, second)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    steps(optimizer, weights, [3, 4])
    steps(resumed, copies, [3, 4])
    assert_same([copies], [weights])
    stored = resumed.state_dict()
    assert {key for state in stored["state"].values() for key in state} == {"square", "velocity"}
    assert set(stored["param_groups"][0]) == {"params", "lr", "alpha", "eps", "momentum", "weight_decay"}


def test_copied_optimizer_does_not_update_the_average():
    weight = torch.ones(4, requires_grad=True)
    copied = copy.deepcopy(RMSpropTF([weight], 0.1, average=MovingAverage([weight], 0.5), backend="torch"))
    (own,) = copied.param_groups[0]["params"]
    own.grad = torch.ones(4)
    copied.step()
    assert own.max() < 1
    assert weight.equal(torch.ones(4))


@pytest.mark.parametrize("backend", ["native", "torch"])
def test_without_a_gradient_only_the_average_changes(backend):
    weights = [torch.ones(3, requires_grad=True) for _ in range(2)]
    average = MovingAverage(weights, decay=0.0)
    optimizer = RMSpropTF(weights, 0.1, average=average, backend=backend)
    weights[0].grad = torch.ones(3)
    with torch.no_grad():
        weights[1].fill_(2.0)
    optimizer.step()
    assert weights[1].equal(torch.full((3,), 2.0))
    assert weights[1] not in optimizer.state
    for weight, kept in average.pairs:
        torch.testing.assert_close(kept, weight.detach())


@pytest.mark.parametrize("backend", ["native", "torch"])
def test_autograd_notices_that_weights_changed(backend):
    weight = torch.ones(3, requires_grad=True)
    loss = (weight**2).sum()
    weight.grad = torch.ones(3)
    RMSpropTF([weight], 0.1, backend=backend).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.gpu
@pytest.mark.skipif(
    not (torch.cuda.is_available() and _native.has_cuda()),
    reason="needs a CUDA device and an install with -C cmake.define.NARSFAST_CUDA=ON",
)
def test_compiled_step_equals_torch_on_cuda():
    weights = [weight.cuda() for weight in drawn(SHAPES)]
    assert_same(trained(weights, "native", weight_decay=0.1), trained(weights, "torch", weight_decay=0.1))


def test_unknown_backend_is_refused():
    with pytest.raises(ValueError, match="backend is 'apex'; it must be 'auto', 'native' or 'torch'"):
        RMSpropTF([torch.ones(1)], 0.1, backend="apex")


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        ((0, 0, 0, 0, 0, 4, 0), "a weight, its gradient and its states need addresses"),
        ((0, 0, 0, 0, 0, -1, 0), "a count must be at least 0"),
        ((0, 0, 0, 0, 0, 0, 1), "a group is unknown"),
    ],
)
def test_compiled_function_refuses_impossible_arguments(tensor, said):
    with pytest.raises(ValueError, match=said):
        _native.rmsprop([(0.1, 0.9, 1e-3, 0.9, 0.0)], [tensor], 1.0, None)
