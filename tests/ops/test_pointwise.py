import pytest
import torch
from torch import nn

from narsfast.ops import pointwise


@pytest.mark.parametrize("side", [1, 3, 64])
@pytest.mark.parametrize("options", [{}, {"bias": True}, {"stride": 2}, {"groups": 2}])
def test_equals_the_convolution(side, options):
    torch.manual_seed(0)
    # Fewer than 16 channels: torch 2.14 with AVX-512 writes past its memory at stride 2.
    conv = nn.Conv2d(16, 12, 1, **{"bias": False, **options})
    x = torch.randn(3, 16, side, side).contiguous(memory_format=torch.channels_last)
    for form in (x, x.contiguous()):
        leaf = form.clone(memory_format=torch.preserve_format).requires_grad_()
        found, expected = pointwise(conv, leaf), conv(leaf)
        torch.testing.assert_close(found, expected)
        d_out = torch.randn_like(expected)
        for one, other in zip(
            torch.autograd.grad(found, [leaf, conv.weight], d_out),
            torch.autograd.grad(expected, [leaf, conv.weight], d_out),
            strict=True,
        ):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_result_is_channels_last():
    x = torch.randn(3, 8, 5, 5).contiguous(memory_format=torch.channels_last)
    assert pointwise(nn.Conv2d(8, 12, 1, bias=False), x).is_contiguous(memory_format=torch.channels_last)
