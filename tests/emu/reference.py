"""What the kernels must give: plain torch in float64 on the same rounded inputs, gradients by autograd."""

import torch
import torch.nn.functional as F

from .calls import pads_of

ACTIVATIONS = {
    "none": lambda z: z,
    "relu": F.relu,
    "hard_swish": F.hardswish,
    "relu6": F.relu6,
    "silu": F.silu,
}
GATES = {"hard_sigmoid": F.hardsigmoid, "sigmoid": torch.sigmoid}


def inverse(norm):
    return 1 if norm is None else (norm.var.double() + norm.eps).rsqrt()


def centered(norm, value):
    return value.double() if norm is None else value.double() - norm.mean.double()


def z(norm, value):
    """`norm`: None or a cases.Norm."""
    return norm.weight.double() * centered(norm, value) * inverse(norm) + norm.bias.double()


def apply(norm, value):
    return value if norm is None else ACTIVATIONS[norm.activation](z(norm, value))


def convolve(x, weight, stride, padding, norm=None):
    value = apply(norm, x).permute(0, 3, 1, 2)
    top, bottom, left, right = pads_of(padding)
    value = F.pad(value, (left, right, top, bottom))
    y = F.conv2d(value, weight[:, None], stride=stride, groups=x.shape[3])
    return y.permute(0, 2, 3, 1)


def gate(a, excite):
    """`excite` as in calls.Calls.excite, in float64."""
    if excite is None:
        return a
    reduce_weight, reduce_bias, expand_weight, expand_bias, activation, gate_kind = excite
    hidden = F.linear(a.mean((1, 2)), reduce_weight, reduce_bias)
    opened = GATES[gate_kind](F.linear(ACTIVATIONS[activation](hidden), expand_weight, expand_bias))
    return opened[:, None, None] * a


def double(excite):
    return None if excite is None else tuple(v.double() if isinstance(v, torch.Tensor) else v for v in excite)


def close(ours, truth, dtype, terms=1, slack=8.0):
    """Assert |ours - truth| <= slack * (rounding of the output + float32 sums of `terms`), by the scale of truth."""
    truth = truth.detach().double()
    assert ours.shape == truth.shape
    if truth.numel() == 0:
        return
    scale = truth.abs().clamp_min(truth.abs().max().item() * 0.1 + 1e-6)
    bound = slack * (torch.finfo(dtype).eps / 2 + torch.finfo(torch.float32).eps * terms**0.5) * scale
    error = (ours.double() - truth).abs()
    assert bool((error <= bound).all()), f"{(error / bound).max().item():.3g} times the bound"
