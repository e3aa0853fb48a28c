"""How much of its parent a candidate keeps."""

import json

import pytest

from narsfast.arch import Family, Kept, KeptPart, create_model, kept, kept_of
from narsfast.arch._channels import CLASSES
from narsfast.space import Space

from .test_inherit import PARENT, shrunk

WHOLE = {
    "reference": "torchvision:resnet18",
    "source": "torchvision:resnet18",
    "name": "resnet",
    "resolution": 224,
}


def test_it_is_said_stage_by_stage():
    found = kept("p", PARENT, shrunk(PARENT, **{"stage4.width": 100}))
    parts = {part.name: part for part in found.parts}
    assert list(parts) == ["stem", "stage1", "stage2", "stage3", "stage4", "head"]
    assert parts["stem"] == KeptPart("stem", (1, 1), (8, 16))
    assert parts["stage2"] == KeptPart("stage2", (1, 3), (16, 24), (16, 48), (3, 5))
    assert parts["stage4"] == KeptPart("stage4", (1, 3), (40, 40), None, (3, 3))
    assert parts["head"].channels == (40, 80)
    assert not found.as_it_is
    assert 0.05 < found.share < 0.6
    assert ("stage2", "1 of 3", "16 of 24", "16 of 48", "3 of 5") in found.rows()
    assert ("stage4", "1 of 3", "all 40", "", "all 3") in found.rows()
    assert found.text() == f"p at 64 px, {100 * found.share:.0f} % of its weights"
    assert Kept.from_dict(json.loads(json.dumps(found.to_dict()))) == found


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "mobilenetv4_conv_small", "FBNetV3_A"])
def test_weights_are_those_of_the_network(name):
    parent = create_model(name).definition
    child = Family(parent).child({"stage2.hidden": 50, "stage3.depth": 1, "stem.width": 62, "resolution": 96})
    found = kept(name, parent, child)
    for count, definition in zip(found.weights, (child, parent), strict=True):
        state = create_model(definition, 5).state_dict()
        kernels = [t for key, t in state.items() if t.ndim == 4 and not key.startswith(f"head.{CLASSES}")]
        assert count == sum(tensor.numel() for tensor in kernels)
    assert found.resolution == (96, parent.resolution)


def test_the_parent_as_it_is_is_told_at_any_resolution():
    own = Family(PARENT).child({"resolution": 48})
    found = kept("p", PARENT, own)
    assert found.as_it_is
    assert found.share == 1
    assert found.text() == "p at 48 px, as it is"
    wider = Family(PARENT).child({"stage2.width": 150})
    assert not kept("p", PARENT, wider).as_it_is
    narrow = Family(PARENT).child({"stage3.hidden": 25})
    assert not kept("p", PARENT, narrow).as_it_is


def test_candidates_of_a_space():
    fields = {f"p.{name}": spec for name, spec in Family(PARENT).fields.items() if name != "resolution"}
    space = Space.from_dict(
        {
            "name": "two",
            "parents": [{"reference": "p", "name": "p", "definition": PARENT.to_dict()}, WHOLE],
            "architecture": {"parent": {"choices": ["p", "resnet"]}, "resolution": {"choices": [48, 64]}}
            | fields,
        }
    )
    candidates = space.decode(space.random(40, 0))
    found = kept_of(space, candidates)
    assert {one.parent for one in found} == {"p", "resnet"}
    for candidate, one in zip(candidates, found, strict=True):
        assert one.parent == candidate.architecture["parent"]
        assert one.resolution[0] == candidate.architecture["resolution"]
        if one.parent == "resnet":
            assert (one.parts, one.share, one.as_it_is, one.resolution[1]) == ((), 1, True, 224)
            assert one.rows() == [("resolution", "", f"{one.resolution[0]} px of 224", "", "")]
    assert kept_of(Space("none", architecture={"a": {"choices": [1, 2]}}), [None, None]) == [None, None]
