import pytest
import torch
from torch import nn

from narsfast.arch import create, create_model
from narsfast.training import layer_numbers

timm = pytest.importorskip("timm")


def counted(network):
    """Return the names of each layer's modules."""
    layers = {}
    for name, number in layer_numbers(network).items():
        layers.setdefault(number, []).append(name)
    assert list(layers) == list(range(len(layers)))
    return list(layers.values())


def prefixes(layers, parts):
    return [{".".join(name.split(".")[:parts]) for name in names} for names in layers]


def on_meta(reference):
    with torch.device("meta"):
        return create_model(reference, num_classes=7)


def test_blocks_of_an_own_network_are_layers_and_its_classifier_is_the_last(small):
    *below, last = counted(create(small, num_classes=10))
    assert last == ["head.classifier"]
    assert prefixes(below[:5], 3) == [
        {"stem.0", "stem.1"},
        {"stages.0.0"},
        {"stages.0.1"},
        {"stages.1.0"},
        {"stages.1.1"},
    ]
    assert below[5:] == [["head.expand.0", "head.expand.1", "head.features"]]


@pytest.mark.parametrize(
    ("reference", "count"),
    [
        ("torchvision:resnet18", 10),  # stem, 8 blocks, classifier
        ("torchvision:mobilenet_v2", 20),  # stem, 17 blocks, last convolution, classifier
        ("torchvision:mobilenet_v3_small", 15),  # two linear layers at the end
        ("torchvision:efficientnet_b0", 19),
        ("torchvision:convnext_tiny", 23),  # stem, 18 blocks, 3 times downsampling, classifier
        ("torchvision:squeezenet1_1", 10),  # stem, 8 blocks, a classifier that is a convolution
        ("timm:tf_efficientnet_lite0", 19),
        ("timm:mobilenetv4_conv_small", 20),
        ("timm:vit_tiny_patch16_224", 14),  # patches, 12 blocks, classifier
    ],
)
def test_layers_of_other_networks(reference, count):
    layers = counted(on_meta(reference))
    assert len(layers) == count
    assert len(layers[-1]) == 1


@pytest.mark.parametrize(
    "name",
    ["resnet18", "tf_efficientnet_lite0", "mobilenetv4_conv_small", "convnext_atto", "vit_tiny_patch16_224"],
)
def test_layers_are_in_the_order_of_timms_own(name):
    """Timm's have the norms and convolutions after the last block with that; no layer of it is divided otherwise."""
    network = on_meta(f"timm:{name}")
    numbers = layer_numbers(network)
    theirs = timm.models.group_parameters(network, network.group_matcher(coarse=False), reverse=True)
    mine = {name: numbers[name.rpartition(".")[0]] for name in theirs}
    ordered = sorted(theirs, key=lambda name: theirs[name])
    assert [mine[name] for name in ordered] == sorted(mine.values())


def test_network_inside_another_one_is_divided_too():
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))
            self.backbone = on_meta("torchvision:resnet18")
            self.classifier = nn.Linear(7, 3)

    layers = counted(Wrapped())
    assert len(layers) == 11
    assert layers[0][0] == ""  # its own parameters are with the first layer
    assert layers[-1] == ["classifier"]


PLAIN = nn.Sequential(
    nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Sequential(nn.ReLU(), nn.Linear(4, 4)), nn.Linear(4, 2)
)


@pytest.mark.parametrize(
    ("network", "layers"),
    [
        (nn.Linear(2, 2), [[""]]),
        (nn.BatchNorm1d(2), [[""]]),
        (nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)), [["0", "1", "2"]]),
        (PLAIN, [["0", "1"], ["2.1"], ["3"]]),
    ],
    ids=["linear", "norm alone", "norm first", "plain layers"],
)
def test_layers_of_a_network_of_plain_layers(network, layers):
    assert counted(network) == layers
