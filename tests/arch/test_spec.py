"""Network specs: resolution, the built network, and JSON."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from narsfast.arch import NetworkSpec, create, definition_of, zoo
from narsfast.errors import UserError
from narsfast.space import load_space

TINY = load_space("tiny")


def test_missing_resolution_is_that_of_the_definition():
    definition = zoo()["FBNetV3_B"]
    assert NetworkSpec.of(definition).resolution == definition.resolution
    assert NetworkSpec.of("b").resolution == definition.resolution
    assert NetworkSpec.of("b", 64).resolution == 64


@pytest.mark.parametrize(
    ("source", "resolution", "said"),
    [("torchvision:resnet18", None, "missing"), ("b", 0, "0"), ("b", -8, "-8")],
)
def test_missing_or_wrong_resolution_is_refused(source, resolution, said):
    with pytest.raises(UserError, match=f"resolution is {said}; {source} needs one in pixels"):
        NetworkSpec.of(source, resolution)


def test_definition_is_built_as_by_create_with_the_resolution():
    (definition,) = definition_of(TINY, TINY.random(1, seed=0))
    torch.manual_seed(0)
    built = NetworkSpec(definition, 24).build(7, 1, dropout=0.2, drop_path=0.1, ops="torch")
    torch.manual_seed(0)
    plain = create(definition, 7, 1, dropout=0.2, drop_path=0.1, ops="torch")
    assert repr(built) == repr(plain)
    assert all(torch.equal(a, b) for a, b in zip(built.parameters(), plain.parameters(), strict=True))
    assert built.definition.resolution == 24


def test_reference_is_built_with_the_given_rates():
    network = NetworkSpec("torchvision:mobilenet_v3_small", 64).build(5, 1, dropout=0.3)
    assert {m.p for m in network.modules() if isinstance(m, torch.nn.Dropout)} == {0.3}
    assert network.eval()(torch.zeros(1, 1, 64, 64)).shape == (1, 5)


@given(seed=st.integers(0, 1000), resolution=st.integers(1, 512))
def test_from_json_inverts_to_json(seed, resolution):
    (definition,) = definition_of(TINY, TINY.random(1, seed=seed))
    for spec in (NetworkSpec(definition, resolution), NetworkSpec("timm:efficientnet_b0", resolution)):
        assert NetworkSpec.from_json(spec.to_json()) == spec
