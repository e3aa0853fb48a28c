import pytest
import torch
from torch import nn

from narsfast.arch import create, create_model, zoo_definition
from narsfast.cost import STATISTICS, count_definitions, count_network
from narsfast.errors import UserError


def test_resnet18_costs_what_is_published():
    network = create_model("torchvision:resnet18", 1000)
    counted = count_network(network, 3, 224, 1000)
    assert counted["params"] == 11_689_512
    assert counted["macs"] == pytest.approx(1.814e9, rel=1e-3)
    assert network.training


def test_a_depthwise_convolution_counts_once_a_channel():
    network = nn.Sequential(nn.Conv2d(3, 6, 3, groups=3, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert count_network(network, 3, 8, 6) == {"macs": 6 * 9 * 36, "params": 54}


def test_a_network_of_ours_is_counted_from_its_rows():
    definition = zoo_definition("a0")
    counted = count_network(create(definition, 10, 1), 1, 64, 10)
    rows = count_definitions([definition.model_copy(update={"resolution": 64})], 1, 10)[0]
    assert list(counted.values()) == rows.tolist()
    assert tuple(counted) == STATISTICS


@pytest.mark.parametrize("network", [nn.Flatten(), nn.LSTM(8, 4)])
def test_what_gives_no_logits_is_refused(network):
    images = torch.zeros(1, 1, 8, 8)
    if isinstance(network, nn.LSTM):
        network = nn.Sequential(nn.Flatten(0, 2), network)
    assert network(images) is not None
    with pytest.raises(UserError, match="should give logits of shape"):
        count_network(network, 1, 8, 10)
