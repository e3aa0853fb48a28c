"""The convolution and its gradients, infer and moments, against float64."""

import pytest
import torch

from . import cases, reference
from .calls import Calls

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
ACTIVATIONS = ["none", "relu", "hard_swish", "relu6", "silu"]
GATES = ["hard_sigmoid", "sigmoid"]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", range(len(cases.WINDOWS)))
def test_convolve_and_gradient(emu, case, dtype):
    check_convolve_and_gradient(emu, cases.WINDOWS[case], case, dtype)


def test_gradient_of_several_images_per_block(emu):
    """From 1,024 blocks on, a block takes one image after the other; the last one has fewer."""
    check_convolve_and_gradient(emu, (3, 1, 1, (1027, 1, 2, 2)), 1, torch.float32)


def check_convolve_and_gradient(emu, window, case, dtype):
    kernel, stride, padding, shape = window
    g = cases.generator(case)
    channels = shape[3]
    x = cases.map_of(g, shape, dtype)
    weight = torch.randn(channels, kernel, kernel, generator=g)
    first = cases.norm_of(g, channels, ACTIVATIONS[case % 5]) if case % 2 else None
    x64 = x.double().requires_grad_()
    weight64 = weight.double().requires_grad_()
    truth = reference.convolve(x64, weight64, stride, padding, first)
    ours = Calls(emu).convolve(x, weight, stride, padding, first)
    pixels = truth[..., 0].numel()
    reference.close(ours.y, truth, dtype, kernel**2)
    if pixels:
        y64 = ours.y.double()
        reference.close(ours.mean, y64.mean((0, 1, 2)), torch.float32, pixels)
        reference.close(ours.var, y64.var((0, 1, 2), correction=0), torch.float32, pixels)
    else:
        assert not bool(ours.mean.any() | ours.var.any())

    d_out = cases.map_of(g, truth.shape, dtype)
    values = {name: torch.randn(channels, generator=g) for name in ("d_weight", "d_bias")}
    values |= {"count": [0.0, 2.5][case // 2 % 2]}
    values |= {name: torch.randn(shape[0], channels, generator=g) for name in ("gate", "d_pooled")}
    values["gate_kind"] = GATES[case // 4 % 2]
    norm = cases.norm_of(g, channels, ACTIVATIONS[(case + 1) % 5])
    gradient = {"y": ours.y, "d_out": d_out, "norm": norm, **values}
    d_y = norm_gradient(**gradient)
    truth.backward(d_y)
    d_x, d_weight = x64.grad, weight64.grad
    back = Calls(emu).convolve_gradient(gradient, x, weight, stride, padding, first)
    if first is not None:
        d_x = d_x / (first.weight * reference.inverse(first))
    terms = kernel**2 * 4
    reference.close(back.d_x, d_x, dtype, terms)
    reference.close(back.d_weight, d_weight, torch.float32, pixels * 4)
    count = x[..., 0].numel()
    if count:
        rounded = back.d_x.double()
        magnitude = rounded.abs().sum((0, 1, 2))
        normalized = reference.centered(first, x) * reference.inverse(first)
        error = (back.d_input_bias.double() - rounded.sum((0, 1, 2))).abs()
        assert bool((error <= 1e-6 * magnitude + 1e-6).all())
        error = (back.d_input_weight.double() - (rounded * normalized).sum((0, 1, 2))).abs()
        assert bool((error <= 1e-6 * (rounded * normalized).abs().sum((0, 1, 2)) + 1e-6).all())
    alone = Calls(emu).norm_gradient(**gradient)
    reference.close(alone.d_y, d_y, dtype, 4)


def norm_gradient(y, d_out, norm, d_weight, d_bias, count, gate, gate_kind, d_pooled):
    pixels = max(y.shape[1] * y.shape[2], 1)
    z = reference.z(norm, y).requires_grad_()
    d_a = reference.GATES[gate_kind](gate.double())[:, None, None] * d_out.double()
    d_a = d_a + d_pooled.double()[:, None, None] / pixels
    (d_z,) = torch.autograd.grad(reference.ACTIVATIONS[norm.activation](z), z, d_a)
    inverse = reference.inverse(norm)
    if count > 0:
        d_z = d_z - (d_bias.double() + reference.centered(norm, y) * inverse * d_weight.double()) / count
    return norm.weight.double() * inverse * d_z


@pytest.mark.parametrize("excites", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", range(len(cases.WINDOWS)))
def test_infer(emu, case, dtype, excites):
    kernel, stride, padding, shape = cases.WINDOWS[case]
    g = cases.generator(case)
    channels = shape[3]
    x = cases.map_of(g, shape, dtype)
    weight = torch.randn(channels, kernel, kernel, generator=g) / kernel
    first = cases.norm_of(g, channels, "hard_swish") if case % 3 == 0 else None
    norm = cases.norm_of(g, channels, ACTIVATIONS[case % 5])
    kinds = ACTIVATIONS[1 + case % 4], GATES[case // 2 % 2]
    excite = cases.excite_of(g, channels, 1 + case % 9, *kinds) if excites else None
    ours = Calls(emu).infer(x, weight, stride, padding, first, norm, excite)
    y = reference.convolve(x.double(), weight.double(), stride, padding, first)
    truth = reference.gate(reference.apply(norm, y), reference.double(excite))
    reference.close(ours.out, truth, dtype, kernel**2 * 4)


@pytest.mark.parametrize("shape", [(2, 5, 5, 8), (3, 40, 30, 5), (1, 1, 1, 40)])
def test_moments_far_from_zero(emu, shape):
    """Means near 1000 are stored to 6e-5, which is what var can be off by, relative to a deviation of 1."""
    y = cases.map_of(cases.generator(), shape, torch.float32) + 1000
    ours = Calls(emu).moments(y)
    truth = y.double()
    mean = truth.mean((0, 1, 2))
    assert torch.allclose(ours.mean.double(), mean, rtol=1e-7 * 2, atol=0)
    assert torch.allclose(ours.var.double(), truth.var((0, 1, 2), correction=0), rtol=1e-4, atol=1e-6)
    centre = torch.zeros(shape[3], 3, 3)
    centre[:, 1, 1] = 1
    conv = Calls(emu).convolve(y, centre, 1, 1)
    assert torch.allclose(conv.mean.double(), mean, rtol=2e-7, atol=0)
    assert torch.allclose(conv.var.double(), truth.var((0, 1, 2), correction=0), rtol=1e-4, atol=1e-6)


def test_unsupported_windows_raise(emu):
    x = torch.zeros(1, 4, 4, 8)
    with pytest.raises(ValueError, match="no kernel"):
        Calls(emu).convolve(x, torch.zeros(8, 4, 4), 1, 1)
