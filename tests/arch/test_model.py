import copy

import pytest
import torch
from torch import nn

from narsfast.arch import create_model
from narsfast.errors import UserError

FACTORY = """
from torch import nn
def small(num_classes, in_chans):
    return nn.Sequential(nn.Conv2d(in_chans, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes))
def number(num_classes, in_chans):
    return 3
def broken(num_classes, in_chans):
    raise ValueError("no")
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "nets.py"
    path.write_text(FACTORY)
    return path


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "reference", ["torchvision:resnet18", "torchvision:mobilenet_v3_small", "timm:resnet10t", "a"]
)
def test_every_source_gives_a_classifier(reference, channels):
    network = create_model(reference, 7, channels, dropout=0.1, drop_path=0.0).eval()
    assert network(torch.zeros(2, channels, 64, 64)).shape == (2, 7)


def test_factory_of_a_file_gives_a_classifier(file):
    network = create_model(f"{file}:small", 5, 1)
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 5)


def test_dropout_is_set_or_added_without_new_parameters(file):
    own = create_model("torchvision:mobilenet_v3_small", 3, dropout=0.37)
    assert [m.p for m in own.modules() if isinstance(m, nn.Dropout)] == [0.37]
    added = create_model(f"{file}:small", 3, dropout=0.5)
    assert not [m for m in added.modules() if isinstance(m, nn.Dropout)]
    images = torch.rand(4, 3, 8, 8)
    assert list(added.state_dict()) == list(create_model(f"{file}:small", 3).state_dict())
    assert not torch.equal(added(images), added(images))
    added = copy.deepcopy(added).eval()
    assert torch.equal(added(images), added(images))


def test_drop_path_grows_linearly():
    network = create_model("torchvision:efficientnet_b0", 3, drop_path=0.3)
    rates = [m.p for m in network.modules() if type(m).__name__ == "StochasticDepth"]
    assert rates[0] == 0
    assert rates[-1] == pytest.approx(0.3)
    assert rates == sorted(rates)
    timm = create_model("timm:efficientnet_b0", 3, drop_path=0.3)
    assert max(m.drop_prob for m in timm.modules() if type(m).__name__ == "DropPath") == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("torchvision:resnet19", "torchvision:resnet19 is not a known classifier"),
        ("timm:nothing", "timm:nothing is not known"),
        ("hub:resnet18", "give torchvision:NAME, timm:NAME"),
        ("/nowhere/nets.py:small", "does not exist"),
        ("{file}:missing", "has no 'missing'"),
        ("{file}:number", "returned int"),
        ("{file}:broken", "failed (ValueError: no); fix the file"),
    ],
)
def test_wrong_reference_is_refused(reference, message, file):
    with pytest.raises(UserError) as raised:
        create_model(reference.format(file=file), 3)
    assert message in str(raised.value)


def test_drop_path_is_refused_without_stochastic_depth():
    with pytest.raises(UserError, match="has no stochastic depth"):
        create_model("torchvision:resnet18", 3, drop_path=0.1)
