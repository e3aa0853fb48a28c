"""The normalised, gated output and the sums of its gradients, against float64."""

import pytest
import torch

from . import cases, reference
from .calls import Calls

SHAPES = [(2, 7, 7, 8), (3, 5, 4, 33), (1, 1, 1, 16), (2, 20, 15, 72), (0, 3, 3, 8), (2, 3, 1, 1)]


@pytest.mark.parametrize("activation", ["none", "relu", "hard_swish"])
@pytest.mark.parametrize("squeezed", [0, 3, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_normalise_and_reduce(emu, shape, dtype, squeezed, activation):
    g = cases.generator(squeezed)
    n, h, w, c = shape
    y = cases.map_of(g, shape, dtype)
    norm = cases.norm_of(g, c, activation)
    inner = "relu" if squeezed == 3 else "hard_swish"
    excite = cases.excite_of(g, c, squeezed, inner) if squeezed else None
    ours = Calls(emu).normalise(y, norm, excite)

    z = (norm[0].double() * y.double() + norm[1].double()).requires_grad_()
    a = reference.ACTIVATIONS[activation](z)
    excite64 = reference.double(excite)
    if excite is not None:
        for weight in excite64[:4]:
            weight.requires_grad_()
    out = reference.gate(a, excite64)
    reference.close(ours.out, out, dtype, h * w + c)

    d_out = cases.map_of(g, shape, dtype)
    mean = torch.randn(c, generator=g)
    out.backward(d_out.double())
    back = Calls(emu).reduce(y, d_out, norm, mean, excite, ours)
    terms = n * h * w * c
    distance = y.double() - mean.double()
    close_sum(back.d_z_sum, z.grad)
    close_sum(back.d_z_y_sum, z.grad * distance)
    if excite is not None:
        names = ("d_reduce_weight", "d_reduce_bias", "d_expand_weight", "d_expand_bias")
        for name, weight in zip(names, excite64, strict=False):
            truth = torch.zeros_like(weight) if n == 0 else weight.grad
            reference.close(getattr(back, name), truth, torch.float32, terms)


def close_sum(ours, terms):
    bound = 4e-6 * (terms.abs().sum((0, 1, 2)) + 1)
    assert bool(((ours.double() - terms.sum((0, 1, 2))).abs() <= bound).all())


def test_slopes_at_the_kinks(emu):
    kinks = torch.tensor([-3.0, 0.0, 3.0, -4.0, 4.0, 1.0, -1.0, 2.0]).reshape(1, 1, 1, 8)
    ones = torch.ones(8)
    for activation in ("relu", "hard_swish"):
        z = kinks.clone().requires_grad_()
        reference.ACTIVATIONS[activation](z).sum().backward()
        ours = Calls(emu).norm_gradient(kinks, torch.ones_like(kinks), (ones, ones * 0, activation))
        assert torch.allclose(ours.d_y, z.grad)


@pytest.mark.parametrize("gate", [-3.0, 3.0])
def test_slope_of_the_gate_at_its_kinks(emu, gate):
    """A gate at a kink passes no gradient on, as in torch."""
    y = torch.ones(1, 2, 2, 8)
    norm = (torch.ones(8), torch.zeros(8), "none")
    excite = (torch.zeros(2, 8), torch.ones(2), torch.zeros(8, 2), torch.full((8,), gate), "relu")
    forward = Calls(emu).normalise(y, norm, excite)
    back = Calls(emu).reduce(y, y, norm, torch.zeros(8), excite, forward)
    t = torch.tensor([gate], requires_grad=True)
    torch.nn.functional.hardsigmoid(t).sum().backward()
    assert torch.equal(back.d_expand_bias, t.grad * 4 * torch.ones(8))
