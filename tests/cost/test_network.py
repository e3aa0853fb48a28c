import pytest
import torch
from torch import nn
from torchvision.models import MobileNet_V3_Large_Weights, MobileNet_V3_Small_Weights, ViT_B_32_Weights

from narsfast.arch import create, create_model
from narsfast.cost import STATISTICS, count_definitions, count_network
from narsfast.errors import UserError


@pytest.mark.parametrize(
    "weights", [MobileNet_V3_Small_Weights, MobileNet_V3_Large_Weights, ViT_B_32_Weights]
)
def test_counts_are_those_published_by_torchvision(weights):
    meta = weights.IMAGENET1K_V1.meta
    name = weights.__name__.removesuffix("_Weights").lower()
    found = count_network(create_model(f"torchvision:{name}", 1000), 3, 224, 1000)
    assert found["params"] == meta["num_params"]
    assert found["macs"] / 1e9 == pytest.approx(meta["_ops"], abs=1e-3)
    assert torch.backends.mha.get_fastpath_enabled()


def test_narsfast_network_is_counted_from_its_rows():
    network = create("FBNetV3_A0", num_classes=10, in_chans=1)
    network.train()
    found = count_network(network, 1, 64, 10)
    rows = count_definitions([network.definition.model_copy(update={"resolution": 64})], 1, 10)
    assert tuple(found) == STATISTICS
    assert list(found.values()) == rows[0].tolist()
    assert network.training


def test_module_without_logits_is_refused():
    with pytest.raises(UserError, match=r"gives \(1, 3, 8, 8\) for one image"):
        count_network(nn.Identity(), 3, 8, 10)


def test_depthwise_convolution_is_counted_per_channel():
    network = nn.Sequential(nn.Conv2d(3, 6, 3, groups=3, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert count_network(network, 3, 8, 6) == {"macs": 6 * 9 * 36, "params": 54}
