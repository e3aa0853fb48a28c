import pytest

from narsfast.arch import absolute_reference, cannot_take, reference_file, reference_version
from narsfast.errors import UserError

FACTORY = """
from torch import nn
def plain(num_classes, in_chans):
    return nn.Sequential(nn.Conv2d(in_chans, num_classes, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "nets.py"
    path.write_text(FACTORY)
    return path


def test_files_are_named_by_their_absolute_path(file, monkeypatch):
    monkeypatch.chdir(file.parent)
    assert absolute_reference("nets.py:plain") == f"{file}:plain"
    assert absolute_reference("own.json") == str(file.parent / "own.json")
    assert absolute_reference("torchvision:resnet18") == "torchvision:resnet18"
    assert absolute_reference("b") == "b"


def test_the_file_of_a_reference(file):
    assert reference_file(f"{file}:plain") == file
    assert str(reference_file("some/own.json")) == "some/own.json"
    assert reference_file("timm:resnet18") is None
    assert reference_file("FBNetV3_A") is None


def test_a_version_follows_the_content(file):
    before = reference_version(f"{file}:plain")
    file.write_text(FACTORY + "# more\n")
    assert before.startswith("sha256 ")
    assert reference_version(f"{file}:plain") != before
    assert reference_version("torchvision:resnet18").startswith("torchvision 0.")
    with pytest.raises(UserError, match="cannot be read"):
        reference_version("/nowhere/nets.py:plain")


def test_what_a_network_cannot_take(file):
    assert list(cannot_take("torchvision:resnet18")) == ["drop_path"]
    assert cannot_take("torchvision:efficientnet_b0") == {}
    assert cannot_take("b") == {}
    assert sorted(cannot_take(f"{file}:plain")) == ["drop_path", "dropout"]
    with pytest.raises(UserError, match="the zoo has"):
        cannot_take("resnet18")
