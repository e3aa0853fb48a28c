"""The normalized, gated output and the sums of its gradients, against float64."""

import pytest
import torch

from . import cases, reference
from .calls import Calls

SHAPES = [(2, 7, 7, 8), (3, 5, 4, 33), (1, 1, 1, 16), (2, 20, 15, 72), (0, 3, 3, 8), (2, 3, 1, 1)]


@pytest.mark.parametrize("activation", list(reference.ACTIVATIONS))
@pytest.mark.parametrize("squeezed", [0, 3, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_normalize_and_reduce(emu, shape, dtype, squeezed, activation):
    g = cases.generator(squeezed)
    n, h, w, c = shape
    y = cases.map_of(g, shape, dtype)
    norm = cases.norm_of(g, c, activation)
    kinds = ("relu", "sigmoid") if squeezed == 3 else ("hard_swish", "hard_sigmoid")
    excite = cases.excite_of(g, c, squeezed, *kinds) if squeezed else None
    ours = Calls(emu).normalize(y, norm, excite)

    z = reference.z(norm, y).requires_grad_()
    a = reference.ACTIVATIONS[activation](z)
    excite64 = reference.double(excite)
    if excite is not None:
        for weight in excite64[:4]:
            weight.requires_grad_()
    out = reference.gate(a, excite64)
    reference.close(ours.out, out, dtype, h * w + c)

    d_out = cases.map_of(g, shape, dtype)
    out.backward(d_out.double())
    back = Calls(emu).reduce(y, d_out, norm, excite, ours)
    terms = n * h * w * c
    close_sum(back.d_bias, z.grad)
    close_sum(back.d_weight, z.grad * reference.centered(norm, y) * reference.inverse(norm))
    if excite is not None:
        names = ("d_reduce_weight", "d_reduce_bias", "d_expand_weight", "d_expand_bias")
        for name, weight in zip(names, excite64, strict=False):
            truth = torch.zeros_like(weight) if n == 0 else weight.grad
            reference.close(getattr(back, name), truth, torch.float32, terms)


@pytest.mark.parametrize("mean", [0, 100])
@pytest.mark.parametrize("squeezed", [0, 3])
def test_the_gradient_of_batch_statistics(emu, squeezed, mean):
    """Moments, normalize, reduce and norm_gradient together are batch norm in training, gated, and its backward."""
    g = cases.generator()
    y = cases.map_of(g, (3, 8, 7, 20), torch.float32) + mean
    excite = cases.excite_of(g, 20, squeezed) if squeezed else None
    moments = Calls(emu).moments(y)
    norm = cases.norm_of(g, 20, "hard_swish")._replace(mean=moments.mean, var=moments.var)
    ours = Calls(emu).normalize(y, norm, excite)
    d_out = cases.map_of(g, y.shape, torch.float32)
    sums = Calls(emu).reduce(y, d_out, norm, excite, ours)
    gates = {"gate": ours.gate, "d_pooled": sums.d_pooled} if squeezed else {}
    vectors = {"d_weight": sums.d_weight, "d_bias": sums.d_bias, **gates}
    back = Calls(emu).norm_gradient(y, d_out, norm, count=3 * 8 * 7, **vectors)

    y64, weight, bias = (v.double().requires_grad_() for v in (y, norm.weight, norm.bias))
    z = torch.nn.functional.batch_norm(y64.movedim(3, 1), None, None, weight, bias, True, 0.0, norm.eps)
    out = reference.gate(torch.nn.functional.hardswish(z).movedim(1, 3), reference.double(excite))
    out.backward(d_out.double())
    slack = 8.0 + mean  # scale and shift are folded: z is rounded as values of the size of y are
    for value, truth in (
        (ours.out, out),
        (back.d_y, y64.grad),
        (sums.d_weight, weight.grad),
        (sums.d_bias, bias.grad),
    ):
        reference.close(value, truth, torch.float32, y[..., 0].numel(), slack)


def close_sum(ours, terms):
    bound = 4e-6 * (terms.abs().sum((0, 1, 2)) + 1)
    assert bool(((ours.double() - terms.sum((0, 1, 2))).abs() <= bound).all())


def plain_norm(activation):
    """Of 8 channels; z is y."""
    one, zero = torch.ones(8), torch.zeros(8)
    return cases.Norm(one, zero, zero, one, 0.0, activation)


@pytest.mark.exports  # older versions have other slopes of hard-swish there
def test_slopes_at_the_kinks(emu):
    kinks = torch.tensor([-3.0, 0.0, 3.0, 6.0, 4.0, 1.0, -100.0, 100.0]).reshape(1, 1, 1, 8)
    for activation in ("relu", "hard_swish", "relu6", "silu"):
        z = kinks.clone().requires_grad_()
        reference.ACTIVATIONS[activation](z).sum().backward()
        ours = Calls(emu).norm_gradient(kinks, torch.ones_like(kinks), plain_norm(activation), count=0.0)
        assert torch.allclose(ours.d_y, z.grad)


@pytest.mark.parametrize("gate", [-3.0, 3.0])
def test_slope_of_the_gate_at_its_kinks(emu, gate):
    """A gate at a kink has no gradient, as in torch."""
    y = torch.ones(1, 2, 2, 8)
    norm = plain_norm("none")
    excite = (
        torch.zeros(2, 8),
        torch.ones(2),
        torch.zeros(8, 2),
        torch.full((8,), gate),
        "relu",
        "hard_sigmoid",
    )
    forward = Calls(emu).normalize(y, norm, excite)
    back = Calls(emu).reduce(y, y, norm, excite, forward)
    t = torch.tensor([gate], requires_grad=True)
    torch.nn.functional.hardsigmoid(t).sum().backward()
    assert torch.equal(back.d_expand_bias, t.grad * 4 * torch.ones(8))


@pytest.mark.parametrize("activation", list(reference.ACTIVATIONS))
def test_values_without_a_number_are_those_of_torch(emu, activation):
    y = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1e30, -1e30, 88.5]).view(
        1, 1, 1, 8
    )
    expected = reference.ACTIVATIONS[activation](y)
    found = Calls(emu).normalize(y, plain_norm(activation), None).out
    assert torch.allclose(found, expected, equal_nan=True)


@pytest.mark.parametrize("gate_kind", list(reference.GATES))
def test_gates_without_a_number_are_those_of_torch(emu, gate_kind):
    gates = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.0, 3.0, -3.0, 100.0, -100.0])
    excite = (torch.zeros(2, 8), torch.ones(2), torch.zeros(8, 2), gates, "relu", gate_kind)
    found = Calls(emu).normalize(torch.ones(1, 1, 1, 8), plain_norm("none"), excite).out
    assert torch.allclose(found.flatten(), reference.GATES[gate_kind](gates), equal_nan=True)
