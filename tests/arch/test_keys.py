"""Names of tensors in other libraries: both sides are checked, and what is left over is named."""

import pytest
import torch

from narsfast.arch import Definition, create, key_map, renamed, zoo
from narsfast.errors import UserError

TINY = Definition.from_dict(
    zoo()["efficientnet_lite0"].to_dict()
    | {
        "name": "efficientnet_tiny",
        "stem_channels": 8,
        "stages": [[[3, 1, 16, 1, 1, True, None]], [[3, 2, 24, 2, 2, False, None]]],
        "head_expansion": 1,
    }
)


def theirs(naming):
    """Return a state dict of the network in the other library's names and shapes."""
    ours = create(TINY, num_classes=3).state_dict()
    return {name: ours[own].clone() for name, own in key_map(TINY, naming)}


@pytest.mark.parametrize("naming", ["timm", "torchvision", "ordered"])
def test_every_tensor_is_paired_once(naming):
    pairs = key_map(TINY, naming)
    assert [ours for _, ours in pairs] == list(create(TINY).state_dict())
    assert len({name for name, _ in pairs}) == len(pairs)
    found = renamed(theirs(naming), TINY, naming, num_classes=3)
    assert list(found) == [ours for _, ours in pairs]
    assert all(torch.equal(found[ours], theirs(naming)[name]) for name, ours in pairs if "running" in ours)


@pytest.mark.parametrize("naming", ["timm", "torchvision"])
def test_tensors_left_over_are_named(naming):
    state = theirs(naming)
    extra = state | {"extra.weight": torch.zeros(1)}
    with pytest.raises(
        UserError, match=r"tensor extra\.weight has no place in the network of definition 'eff"
    ):
        renamed(extra, TINY, naming, num_classes=3)
    name, ours = next(pair for pair in key_map(TINY, naming) if pair[1] == "head.classifier.bias")
    del state[name]
    with pytest.raises(UserError, match=rf"tensor {name} \(our {ours}\) .* is missing$"):
        renamed(state, TINY, naming, num_classes=3)


@pytest.mark.parametrize("naming", ["timm", "torchvision"])
def test_tensors_of_other_shapes_are_named(naming):
    with pytest.raises(
        UserError, match=r"tensor classifier.* has the shape \(3, 24\); it should be \(7, 24\)"
    ):
        renamed(theirs(naming), TINY, naming, num_classes=7)


def test_ordered_tensors_have_any_names():
    state = {f"layer {name}": tensor for name, tensor in theirs("ordered").items()}
    assert renamed(state, TINY, "ordered", num_classes=3).keys() == create(TINY).state_dict().keys()
    state.popitem()
    with pytest.raises(
        UserError, match=r"there are 65 tensors; the network of .*_tiny' has 66, 10 of them counters"
    ):
        renamed(state, TINY, "ordered", num_classes=3)


@pytest.mark.parametrize("naming", ["timm", "torchvision", "ordered"])
def test_counters_of_norms_may_be_missing(naming):
    state = {name: theirs(naming)[name] for name, ours in key_map(TINY, naming) if "num_batches" not in ours}
    found = renamed(state, TINY, naming, num_classes=3)
    create(TINY, num_classes=3).load_state_dict(found)
    assert found["stem.1.num_batches_tracked"] == 0


def test_other_namings_are_refused():
    with pytest.raises(UserError, match="naming is 'keras'; it should be one of timm, torchvision, ordered"):
        key_map(TINY, "keras")
    other = TINY.model_copy(update={"name": "mine"})
    with pytest.raises(UserError, match=r"'mine' has no names in torchvision; .*mobilenet_v2"):
        key_map(other, "torchvision")
    headless = Definition.from_dict(TINY.to_dict() | {"head_expansion": None, "head_features": 8})
    with pytest.raises(UserError, match=r"'efficientnet_tiny' has no name in torchvision for head\.features"):
        key_map(headless, "torchvision")
