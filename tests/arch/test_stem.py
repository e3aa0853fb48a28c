"""Gray images give what the same images with three equal channels would give."""

import pytest
import torch
from torch import nn

from narsfast.arch import create
from narsfast.arch._stem import OWN_STEM, Stem, gray_weights, stem_of
from narsfast.common.preparation import Preparation

EQUAL = Preparation((0.5,) * 3, (0.5,) * 3)
IMAGENET = Preparation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Normed(nn.Module):
    """A stem, with a norm, a bias or neither."""

    def __init__(self, kind, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, 8, 3, 2, 1, bias=kind == "bias")
        self.norm = nn.BatchNorm2d(8) if kind == "norm" else nn.ReLU()

    def forward(self, x):
        return self.norm(self.conv(x))


def outputs(kind, preparation):
    """Return the outputs for gray images as three channels, and by the summed stem for one channel."""
    torch.manual_seed(0)
    color, gray = Normed(kind, 3).eval(), Normed(kind, 1).eval()
    if kind == "norm":
        nn.init.normal_(color.norm.running_mean)
        nn.init.uniform_(color.norm.running_var)
    gray.load_state_dict(gray_weights(color.state_dict(), stem_of(color), preparation))
    images = torch.rand(2, 1, 16, 16)
    found = []
    for network, channels in ((color, 3), (gray, 1)):
        own = preparation.for_channels(channels)
        mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (own.mean, own.std))
        with torch.no_grad():
            found.append(network((images - mean) / std))
    return found


@pytest.mark.parametrize("kind", ["norm", "bias", "none"])
def test_equal_means_give_equal_outputs(kind):
    color, gray = outputs(kind, EQUAL)
    torch.testing.assert_close(gray, color, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["norm", "bias"])
def test_other_means_give_equal_outputs_but_for_the_border(kind):
    """The first row and column read zeros of the padding, which are other values there."""
    color, gray = outputs(kind, IMAGENET)
    torch.testing.assert_close(gray[..., 1:, 1:], color[..., 1:, 1:], rtol=1e-4, atol=1e-4)
    border = (gray - color)[..., 0, :].abs().mean()
    assert 1e-3 < border < 0.15 * color.std()


def test_stems_are_found():
    assert stem_of(create("FBNetV3_A")) == OWN_STEM
    assert stem_of(Normed("bias", 3)) == Stem("conv.weight", bias="conv.bias")
    assert stem_of(Normed("none", 3)) == Stem("conv.weight")
    assert stem_of(nn.Linear(3, 3)) is None
