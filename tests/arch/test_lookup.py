import pytest

from narsfast.arch import absolute_reference, reference_file, reference_version, unsupported_recipe_fields
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


def test_absolute_reference_makes_paths_absolute(file, monkeypatch):
    monkeypatch.chdir(file.parent)
    assert absolute_reference("nets.py:plain") == f"{file}:plain"
    assert absolute_reference("own.json") == str(file.parent / "own.json")
    assert absolute_reference("torchvision:resnet18") == "torchvision:resnet18"
    assert absolute_reference("b") == "b"


def test_reference_file_is_the_path_or_none(file):
    assert reference_file(f"{file}:plain") == file
    assert str(reference_file("some/own.json")) == "some/own.json"
    assert reference_file("timm:resnet18") is None
    assert reference_file("FBNetV3_A") is None


def test_reference_version_depends_on_the_content_of_the_file(file):
    before = reference_version(f"{file}:plain")
    file.write_text(FACTORY + "# more\n")
    assert before.startswith("sha256 ")
    assert reference_version(f"{file}:plain") != before
    assert reference_version("torchvision:resnet18").startswith("torchvision 0.")
    with pytest.raises(UserError, match="cannot be read"):
        reference_version("/nowhere/nets.py:plain")


def test_unsupported_recipe_fields_are_listed(file):
    assert list(unsupported_recipe_fields("torchvision:resnet18")) == ["drop_path"]
    assert unsupported_recipe_fields("torchvision:efficientnet_b0") == {}
    assert unsupported_recipe_fields("b") == {}
    assert sorted(unsupported_recipe_fields(f"{file}:plain")) == ["drop_path", "dropout"]
    with pytest.raises(UserError, match="the zoo has"):
        unsupported_recipe_fields("resnet18")
