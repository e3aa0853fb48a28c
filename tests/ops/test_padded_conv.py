"""Convolutions with padding per side."""

import pytest
import torch
from torch import fx, nn

from narsfast.ops import Conv2dPadded, Conv2dSame

timm_layers = pytest.importorskip("timm.layers")

SAME = [(3, 1, 1), (3, 2, 1), (5, 2, 1), (7, 2, 1), (1, 2, 1), (2, 2, 1), (2, 3, 1), (4, 1, 1), (3, 2, 2)]


@pytest.mark.parametrize(("kernel", "stride", "dilation"), SAME)
@pytest.mark.parametrize("side", [(8, 8), (7, 7), (9, 10), (1, 2)])
def test_same_is_that_of_timm(kernel, stride, dilation, side):
    torch.manual_seed(0)
    ours = Conv2dSame(4, 6, kernel, stride, dilation, groups=2)
    theirs = timm_layers.Conv2dSame(4, 6, kernel, stride, 0, dilation, groups=2)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 4, *side)
    out = ours(x)
    torch.testing.assert_close(out, theirs(x))
    assert out.shape[2:] == tuple(-(-length // stride) for length in side)
    assert ours.to("meta")(x.to("meta")).shape == out.shape


def test_padded_pads_before_and_after():
    conv = Conv2dPadded(3, 3, 3, 2, (0, 1), groups=3, bias=False)
    x = torch.randn(2, 3, 8, 6)
    expected = nn.functional.conv2d(nn.functional.pad(x, (0, 1, 0, 1)), conv.weight, stride=2, groups=3)
    torch.testing.assert_close(conv(x), expected)
    assert "before=0, after=1" in repr(conv)


def test_same_keeps_channels_last():
    x = torch.randn(2, 4, 8, 8).contiguous(memory_format=torch.channels_last)
    for stride in (1, 2):
        assert Conv2dSame(4, 6, 3, stride)(x).is_contiguous(memory_format=torch.channels_last)


def test_same_is_not_taken_for_a_plain_convolution():
    conv = Conv2dSame(4, 4, 3, 2)
    with pytest.raises(ValueError, match="same"):
        nn.Conv2d(4, 4, 3, conv.stride, conv.padding)


@pytest.mark.filterwarnings("ignore:.*deprecated")
@pytest.mark.parametrize("record", [pytest.param("export", marks=pytest.mark.exports), "jit", "fx"])
def test_recorded_same_serves_other_sides(record):
    """The padding follows the side that a recorded program is given, even and odd."""
    conv = Conv2dSame(3, 4, 3, 2).eval()
    x = torch.randn(2, 3, 8, 8)
    if record == "export":
        sides = {2: torch.export.Dim("height", min=4), 3: torch.export.Dim("width", min=4)}
        program = torch.export.export(conv, (x,), dynamic_shapes=({0: torch.export.Dim("batch"), **sides},))
        recorded = program.module()
    elif record == "jit":
        recorded = torch.jit.trace(conv, x)
    else:
        recorded = fx.symbolic_trace(conv)
    for side in ((8, 8), (9, 12)):
        other = torch.randn(3, 3, *side)
        torch.testing.assert_close(recorded(other), conv(other))
