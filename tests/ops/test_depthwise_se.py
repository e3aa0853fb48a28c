from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.nn import functional

from narsfast.errors import UserError
from narsfast.ops import ACTIVATIONS, GATES, DepthwiseSE, SqueezeExcite, set_ops

from .conftest import channels_last


@dataclass(frozen=True)
class Options:
    """Those of a block, and the zeros (left, right, top, bottom) around a map of 9 x 10."""

    kernel: int
    stride: int = 1
    padding: int | tuple[int, int] | str | None = None
    pads: tuple[int, int, int, int] = (1, 1, 1, 1)
    act: str = "hard_swish"
    inner_act: str = "hard_swish"
    gate: str = "hard_sigmoid"
    eps: float = 1e-5


OPTIONS = [
    Options(3),
    Options(5, 2, pads=(2, 2, 2, 2)),
    Options(5, 2, 1),
    Options(3, 2, 0, (0, 0, 0, 0)),
    Options(3, act="relu", inner_act="relu6"),
    Options(5, 2, "same", (1, 2, 2, 2), act="silu", inner_act="silu", gate="sigmoid", eps=1e-3),
    Options(3, 2, "same", (0, 1, 1, 1), act="relu6", inner_act="relu", gate="sigmoid"),
    Options(3, 1, "same", act="none", inner_act="relu"),
    Options(7, 2, (2, 3), (2, 3, 2, 3), act="silu", eps=0.1),
]

FUNCTIONS = {
    "none": lambda z: z,
    "relu": functional.relu,
    "relu6": lambda z: z.clamp(0, 6),
    "hard_swish": lambda z: z * ((z + 3).clamp(0, 6) / 6),
    "silu": lambda z: z * torch.sigmoid(z),
    "hard_sigmoid": lambda z: (z + 3).clamp(0, 6) / 6,
    "sigmoid": torch.sigmoid,
}


def built(options, squeezed=None):
    torch.manual_seed(0)
    module = DepthwiseSE(
        16,
        options.kernel,
        options.stride,
        options.padding,
        squeezed,
        act=options.act,
        inner_act=options.inner_act,
        gate=options.gate,
        eps=options.eps,
    )
    module.norm.running_mean.normal_()
    module.norm.running_var.uniform_(0.01, 2)
    return module


def by_hand(block, x, options, squeezed):
    """Compute the block by functional calls, in evaluation mode."""
    p = dict(block.named_parameters()) | dict(block.named_buffers())
    x = functional.conv2d(
        functional.pad(x, options.pads), p["conv.weight"], None, options.stride, groups=x.shape[1]
    )
    mean, var = p["norm.running_mean"], p["norm.running_var"]
    x = functional.batch_norm(x, mean, var, p["norm.weight"], p["norm.bias"], eps=options.eps)
    x = FUNCTIONS[options.act](x)
    if squeezed:
        gate = functional.conv2d(x.mean((2, 3), keepdim=True), p["se.reduce.weight"], p["se.reduce.bias"])
        gate = FUNCTIONS[options.inner_act](gate)
        gate = functional.conv2d(gate, p["se.expand.weight"], p["se.expand.bias"])
        x = x * FUNCTIONS[options.gate](gate)
    return x


@pytest.mark.parametrize("squeezed", [None, 8])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_equals_functional_calls(options, squeezed):
    block = built(options, squeezed).eval()
    x = channels_last(2, 16, 9, 10)
    expected = by_hand(block, x, options, squeezed)
    torch.testing.assert_close(block(x), expected, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(block(x), expected, rtol=1e-5, atol=1e-5)
        set_ops(block, "torch")
        torch.testing.assert_close(block(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_both_paths_train_the_same(options):
    results = []
    for ops in ("fused", "torch"):
        block = built(options, 8).double()
        set_ops(block, ops)
        torch.manual_seed(1)
        norm = nn.BatchNorm2d(16).double()
        x = torch.randn(4, 16, 9, 10, dtype=torch.float64).requires_grad_()
        out = block(x.contiguous(memory_format=torch.channels_last), norm, options.act)
        out.square().sum().backward()
        parameters = [*block.parameters(), *norm.parameters()]
        results.append([out, x.grad, *(p.grad for p in parameters), *block.buffers(), *norm.buffers()])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


def test_same_padding_follows_the_map():
    block = DepthwiseSE(8, 3, 2, "same").eval()
    for side in ((8, 8), (9, 9), (7, 10)):
        x = channels_last(2, 8, *side)
        fused = block(x)
        assert fused.shape[2:] == tuple((length + 1) // 2 for length in side)
        set_ops(block, "torch")
        torch.testing.assert_close(fused, block(x))
        set_ops(block, "fused")


def test_parameters():
    plain = DepthwiseSE(16, 3)
    assert sum(p.numel() for p in plain.parameters()) == 16 * 9 + 2 * 16
    gated = DepthwiseSE(16, 3, squeezed=8)
    assert sum(p.numel() for p in gated.parameters()) == 16 * 9 + 2 * 16 + 2 * 16 * 8 + 8 + 16


def test_names_in_the_state_do_not_depend_on_the_options():
    states = [built(options, 8).state_dict() for options in OPTIONS]
    assert all(state.keys() == states[0].keys() for state in states)


def test_every_activation_and_gate_has_a_module_of_its_own():
    for module, act in ACTIVATIONS.items():
        block = DepthwiseSE(8, 3, squeezed=4, act=act, inner_act=act)
        assert type(block.act) is type(block.se.act) is module
        assert block.act is not block.se.act
    for module, gate in GATES.items():
        assert type(SqueezeExcite(8, 4, gate=gate).gate) is module


@pytest.mark.parametrize("name", ["gelu", "Relu", "", "hard_sigmoid"])
def test_unknown_activation_is_refused(name):
    for options in ({"act": name}, {"inner_act": name, "squeezed": 4}):
        with pytest.raises(UserError, match="should be one of none, relu, relu6, hard_swish, silu"):
            DepthwiseSE(8, 3, **options)


@pytest.mark.parametrize("name", ["tanh", "relu", ""])
def test_unknown_gate_is_refused(name):
    with pytest.raises(UserError, match=f"a gate is '{name}'; it should be one of hard_sigmoid, sigmoid"):
        DepthwiseSE(8, 3, squeezed=4, gate=name)


def test_changed_stride_applies_to_both_paths():
    module = DepthwiseSE(8, 3, 2).eval()
    module.conv.stride = (1, 1)
    x = torch.randn(2, 8, 9, 9)
    fused = module(x)
    set_ops(module, "torch")
    torch.testing.assert_close(fused, module(x))


def test_padding_changed_in_place_applies_to_both_paths():
    module = DepthwiseSE(8, 3, 2, (0, 1)).eval()
    x = torch.randn(2, 8, 9, 9)
    module(x)
    module.conv.before, module.conv.after = 2, 3
    fused = module(x)
    assert fused.shape == (2, 8, 6, 6)
    set_ops(module, "torch")
    torch.testing.assert_close(fused, module(x))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_parameters_of_another_dtype_are_converted(dtype):
    torch.manual_seed(0)
    module = DepthwiseSE(24, 3, squeezed=8).to(dtype).eval()
    map_dtype = torch.bfloat16 if dtype is torch.bfloat16 else torch.float32
    x = torch.randn(2, 24, 9, 9, dtype=map_dtype)
    with torch.no_grad():
        found = module(x)
        expected = module.float()(x)
    assert found.dtype is map_dtype
    torch.testing.assert_close(found, expected)
