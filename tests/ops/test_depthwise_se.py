import pytest
import torch
from torch.nn import functional

from narsfast.ops import DepthwiseSE, set_ops


def by_hand(block, x, stride, padding, squeezed):
    """Compute the block by functional calls, in evaluation mode."""
    p = dict(block.named_parameters()) | dict(block.named_buffers())
    x = functional.conv2d(x, p["conv.weight"], None, stride, padding, groups=x.shape[1])
    mean, var = p["norm.running_mean"], p["norm.running_var"]
    x = functional.batch_norm(x, mean, var, p["norm.weight"], p["norm.bias"])
    x = x * ((x + 3).clamp(0, 6) / 6)
    if squeezed:
        gate = functional.conv2d(x.mean((2, 3), keepdim=True), p["se.reduce.weight"], p["se.reduce.bias"])
        gate = gate * ((gate + 3).clamp(0, 6) / 6)
        gate = functional.conv2d(gate, p["se.expand.weight"], p["se.expand.bias"])
        x = x * ((gate + 3).clamp(0, 6) / 6)
    return x


@pytest.mark.parametrize("squeezed", [None, 8])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 1, None), (5, 2, None), (5, 2, 1), (3, 2, 0)])
def test_equals_functional_calls(kernel, stride, padding, squeezed):
    torch.manual_seed(0)
    block = DepthwiseSE(16, kernel, stride, padding, squeezed).eval()
    block.norm.running_mean.normal_()
    block.norm.running_var.uniform_(0.5, 2)
    x = torch.randn(2, 16, 9, 11)
    expected = by_hand(block, x, stride, kernel // 2 if padding is None else padding, squeezed)
    torch.testing.assert_close(block(x), expected)


def test_parameters():
    plain = DepthwiseSE(16, 3)
    assert sum(p.numel() for p in plain.parameters()) == 16 * 9 + 2 * 16
    gated = DepthwiseSE(16, 3, squeezed=8)
    assert sum(p.numel() for p in gated.parameters()) == 16 * 9 + 2 * 16 + 2 * 16 * 8 + 8 + 16


def test_changed_stride_applies_to_both_paths():
    module = DepthwiseSE(8, 3, 2).eval()
    module.conv.stride = (1, 1)
    x = torch.randn(2, 8, 9, 9)
    fused = module(x)
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
