"""Any child of a space is a network: it takes its parent's weights, computes, and costs what native code counts."""

from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from narsfast.arch import Definition, Inheritance, create_model, specs_of
from narsfast.cost import Counter, count_module

from .test_child_parts import children

NAMES = ["mobilenet_v3_small", "efficientnet_b0", "FBNetV3_B", "mobilenetv4_conv_small", "fused"]
FUSED = Definition.from_dict(
    {
        "name": "fused",
        "resolution": 64,
        "stem_channels": 24,
        "stages": [
            [{"kernel": 3, "expansion": 1, "channels": 24, "kind": "fused", "repeats": 2}],
            [
                {
                    "kernel": 3,
                    "expansion": 4,
                    "channels": 48,
                    "kind": "fused",
                    "stride": 2,
                    "repeats": 2,
                    "se": True,
                }
            ],
            [
                {
                    "kernel": 3,
                    "expansion": 4,
                    "channels": 64,
                    "stride": 2,
                    "repeats": 3,
                    "se": True,
                    "se_width": 20,
                }
            ],
            [{"kernel": 3, "channels": 72, "kind": "conv"}, [5, 6, 72, 1, 2, False]],
        ],
        "head_expansion": 4,
        "head_features": None,
        "act": "silu",
        "se_gate": "sigmoid",
        "padding": "same",
    }
)


@cache
def parent(name):
    """Return the definition of a parent, and its weights for two classes."""
    torch.manual_seed(0)
    network = create_model(FUSED if name == "fused" else name, 2)
    return network.definition, network.state_dict()


@cache
def space_and_counter(name):
    own = {"fused": FUSED} if name == "fused" else {}
    sides = [64, 72] if name == "FBNetV3_B" else [32, 48]  # its kernels do not fit smaller maps
    space = children([name], own=own, resolution={"choices": sides})
    return space, Counter(space, 3, 2)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_every_child_computes_and_costs_what_is_counted(name, seed):
    space, counter = space_and_counter(name)
    definition, weights = parent(name)
    genes = space.random(1, seed)
    (spec,) = specs_of(space, space.decode(genes))
    network = spec.build(2).eval()
    network.load_state_dict(Inheritance(definition, spec.source)(weights))
    with torch.inference_mode():
        logits = network(torch.randn(2, 3, spec.resolution, spec.resolution))
    assert logits.shape == (2, 2)
    assert logits.isfinite().all()
    assert counter(genes)[0].tolist() == count_module(network).tolist()
