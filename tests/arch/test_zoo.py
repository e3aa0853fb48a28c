import pytest

from narsfast.arch import zoo, zoo_definition
from narsfast.errors import UserError


def test_zoo_has_the_published_names():
    assert list(zoo())[:8] == ["FBNetV3_A0", *(f"FBNetV3_{letter}" for letter in "ABCDEFG")]
    assert "mobilenet_v3_small" in zoo()
    assert all(name == definition.name for name, definition in zoo().items())


def test_a_is_b_at_224_pixels():
    b = zoo()["FBNetV3_B"]
    assert zoo()["FBNetV3_A"] == b.model_copy(update={"name": "FBNetV3_A", "resolution": 224})


@pytest.mark.parametrize("name", ["FBNetV3_A0", "fbnetv3_a0", "A0", "a0", " a0 "])
def test_zoo_definition_accepts_short_names(name):
    assert zoo_definition(name) is zoo()["FBNetV3_A0"]


@pytest.mark.parametrize("name", ["FBNetV3_H", "resnet18", ""])
def test_unknown_name_is_refused_with_the_known_ones(name):
    with pytest.raises(UserError, match=r"FBNetV3_A0, FBNetV3_A, .*FBNetV3_G"):
        zoo_definition(name)


def test_zoo_returns_a_new_dict():
    zoo().clear()
    assert len(zoo()) == 20


@pytest.mark.parametrize("name", ["mobilenet_v2", "MobileNet_V2", "tf_efficientnet_lite0"])
def test_zoo_definition_knows_networks_of_other_libraries(name):
    assert zoo_definition(name).name == name.lower()


def test_near_names_are_suggested():
    with pytest.raises(UserError, match=r"did you mean mobilenetv3_small_050\?$"):
        zoo_definition("mobilenetv3_small_075")
    with pytest.raises(UserError, match=r"did you mean FBNetV3_B\?$"):
        zoo_definition("FBNetV3-B")


def test_name_of_torchvision_is_suggested():
    with pytest.raises(UserError, match=r"did you mean torchvision:resnet18\?$"):
        zoo_definition("resnet18")


def test_file_without_a_factory_is_told_the_form():
    with pytest.raises(UserError, match=r"; a network of a file is nets\.py:FACTORY$"):
        zoo_definition("nets.py")
