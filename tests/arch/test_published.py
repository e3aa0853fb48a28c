"""The zoo's networks of other libraries are theirs: multiply-adds, parameters, names of tensors and outputs."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models

from narsfast.arch import create, lower_definitions, renamed, zoo
from narsfast.cost import STATISTICS, count_definitions, count_module
from narsfast.cost._reference import count_rows_reference

timm = pytest.importorskip("timm", reason="timm is not installed")

# Whose network it is there, the padding with which ours is built, and a small resolution at which outputs are compared.
PUBLISHED = {
    "mobilenet_v2": ("torchvision", "mobilenet_v2", 64),
    "mobilenet_v3_small": ("torchvision", "mobilenet_v3_small", 64),
    "mobilenet_v3_large": ("torchvision", "mobilenet_v3_large", 64),
    "efficientnet_b0": ("torchvision", "efficientnet_b0", 64),
    "mnasnet1_0": ("torchvision", "mnasnet1_0", 64),
    "efficientnet_es": ("timm", "efficientnet_es", 64),
    "efficientnet_lite0": ("timm", "efficientnet_lite0", 64),
    "tf_efficientnet_lite0": ("timm", "tf_efficientnet_lite0", 75),
    "tf_efficientnet_lite1": ("timm", "tf_efficientnet_lite1", 64),
    "tf_efficientnet_lite2": ("timm", "tf_efficientnet_lite2", 70),
    "FBNetV3_B": ("timm", "fbnetv3_b", 64),
    "FBNetV3_D": ("timm", "fbnetv3_d", 64),
    "FBNetV3_G": ("timm", "fbnetv3_g", 64),
    "mobilenetv4_conv_small": ("timm", "mobilenetv4_conv_small", 64),
    "mobilenetv3_small_050": ("timm", "mobilenetv3_small_050", 64),
}


def theirs(name):
    library, known, _ = PUBLISHED[name]
    if library == "timm":
        return timm.create_model(known)
    return models.get_model(known, weights=None)


def padding(name):
    """Timm's FBNetV3 ignores the paddings of the released one."""
    return "half" if name.startswith("FBNetV3") else "published"


def randomize(network):
    """Draw weights that keep the size of maps, and statistics and scales of norms that differ from their defaults."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                fan_in = module.weight[0].numel()
                module.weight.normal_(0, fan_in**-0.5, generator=generator)
                if module.bias is not None:
                    module.bias.normal_(0, 0.5, generator=generator)
            elif isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.normal_(0, 0.3, generator=generator)
                module.running_mean.normal_(0, 0.3, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)


@pytest.mark.parametrize("name", PUBLISHED)
def test_outputs_are_those_of_the_library(name):
    library, _, side = PUBLISHED[name]
    network = theirs(name).eval()
    randomize(network)
    ours = create(name, padding=padding(name), ops="torch").eval()
    ours.load_state_dict(renamed(network.state_dict(), zoo()[name], library, 1000))
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected, found = network(images), ours(images)
        fused = create(name, padding=padding(name)).eval()
        fused.load_state_dict(ours.state_dict())
        sped = fused(images)
    size = expected.abs().max()
    assert size > 0.01
    assert (found - expected).abs().max() < 1e-5 * size
    assert (sped - expected).abs().max() < 2e-5 * size


@pytest.mark.parametrize("name", PUBLISHED)
def test_counts_are_those_of_the_library(name):
    """Multiply-adds at the published resolution by torch's own counter, on the meta device."""
    definition = zoo()[name]
    side = definition.resolution
    with torch.device("meta"):
        network, ours = theirs(name).eval(), create(name, padding=padding(name))
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, 3, side, side))
    counted = count_definitions([definition], padding=padding(name))[0]
    found = dict(zip(STATISTICS, counted.tolist(), strict=True))
    assert 2 * found["macs"] == counter.get_total_flops()
    assert found["params"] == sum(parameter.numel() for parameter in network.parameters())
    assert counted.tolist() == count_module(ours).tolist()
    lowered = lower_definitions([definition], padding(name))
    assert counted.tolist() == count_rows_reference(lowered)[0].tolist()
