"""Three independent counts agree: the native one, its numpy reference and the hooks on a built network."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from narsfast.arch import Definition, create, definition_of, lower_definitions, lower_genes, zoo
from narsfast.cost import STATISTICS, Counter, count_definitions, count_module
from narsfast.cost._reference import count_rows_reference
from narsfast.space import builtin_spaces, load_space

# conv MACs, published FLOPs, all parameters without a stem bias, weights only = published parameters
RECONCILIATION = {
    "FBNetV3_A0": (217_917_744, 218_578_288, 6_309_964, 6_275_532),
    "FBNetV3_A": (355_514_328, 356_598_280, 8_598_464, 8_542_224),
    "FBNetV3_B": (460_150_000, 461_550_136, 8_598_464, 8_542_224),
    "FBNetV3_C": (555_578_368, 556_969_904, 9_973_800, 9_907_136),
    "FBNetV3_D": (642_628_864, 644_420_352, 10_306_272, 10_237_552),
    "FBNetV3_E": (759_952_160, 762_046_336, 10_772_872, 10_699_464),
    "FBNetV3_F": (1_178_860_656, 1_181_644_520, 13_896_136, 13_803_072),
    "FBNetV3_G": (2_125_187_200, 2_129_656_384, 16_623_888, 16_513_648),
}
HALF_PADDING_MACS = {
    "FBNetV3_A0": 217_917_744,
    "FBNetV3_A": 407_508_576,
    "FBNetV3_B": 520_022_232,
    "FBNetV3_C": 633_963_128,
    "FBNetV3_D": 642_628_864,
    "FBNetV3_E": 858_534_728,
    "FBNetV3_F": 1_269_864_240,
    "FBNetV3_G": 2_125_187_200,
}
# Parameters of timm's models, and their conv MACs (in millions) by resolution.
TIMM = {
    "FBNetV3_B": ("fbnetv3_b", 8_598_464, {224: 407.509, 248: 520.022, 256: 530.632}),
    "FBNetV3_D": ("fbnetv3_d", 10_306_272, {224: 501.971, 248: 642.629, 256: 653.862}),
    "FBNetV3_G": ("fbnetv3_g", 16_623_888, {240: 1253.584, 288: 1722.793, 320: 2125.187}),
}


def on_meta(definition, **options):
    with torch.device("meta"):
        return create(definition, **options)


@pytest.fixture
def shapes_only(monkeypatch):
    """Skip norms and activations, which keep every shape and take most of the time on the meta device."""
    for kind in (nn.BatchNorm2d, nn.Hardswish, nn.Hardsigmoid):
        monkeypatch.setattr(kind, "forward", lambda self, x: x)
    for kind in (nn.Conv2d, nn.Linear, nn.BatchNorm2d):
        monkeypatch.setattr(kind, "reset_parameters", lambda self: None)


@pytest.mark.parametrize("name", RECONCILIATION)
def test_counts_of_the_zoo_are_the_published_ones(name):
    definition = zoo()[name]
    native = count_definitions([definition])[0]
    assert tuple(native[:4]) == RECONCILIATION[name]
    assert native.tolist() == count_module(on_meta(definition)).tolist()
    assert native.tolist() == count_rows_reference(lower_definitions([definition]))[0].tolist()


@pytest.mark.parametrize("name", RECONCILIATION)
def test_counts_of_the_zoo_with_half_padding(name):
    definition = zoo()[name]
    native = count_definitions([definition], padding="half")[0]
    assert native[0] == HALF_PADDING_MACS[name]
    assert tuple(native[2:4]) == RECONCILIATION[name][2:]
    assert native.tolist() == count_module(on_meta(definition, padding="half")).tolist()


@pytest.mark.parametrize("name", TIMM)
def test_counts_of_the_zoo_are_those_of_timm(name):
    timm = pytest.importorskip("timm", reason="timm is not installed")
    timm_name, params, macs = TIMM[name]
    with torch.device("meta"):
        network = timm.create_model(timm_name)
    assert sum(parameter.numel() for parameter in network.parameters()) == params
    for resolution, millions in macs.items():
        definition = zoo()[name].model_copy(update={"resolution": resolution})
        native = count_definitions([definition], padding="half")[0]
        assert native[2] == params
        assert native[0] / 1e6 == pytest.approx(millions, abs=5e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", builtin_spaces())
def test_native_reference_and_module_count_random_candidates_alike(name, shapes_only):
    space = load_space(name)
    genes = space.random(200, seed=11)
    native = Counter(space)(genes)
    assert (native == count_rows_reference(lower_genes(space, genes))).all()
    few = definition_of(space, genes[:20])  # a module takes a tenth of a second to build
    built = [count_module(on_meta(definition)) for definition in few]
    assert (native[:20] == np.stack(built)).all()


@st.composite
def rows(draw):
    """Draw a row that no space contains: odd widths, any padding, strides anywhere, blocks of every kind."""
    kind = draw(st.sampled_from(["mbconv", "mbconv", "fused", "conv"]))
    row = {"kind": kind, "channels": draw(st.integers(1, 40)), "repeats": draw(st.integers(1, 3))}
    row["kernel"] = draw(st.sampled_from([1, 3, 5, 7]))
    row["stride"], row["padding"] = draw(st.sampled_from([1, 2])), draw(st.none() | st.integers(3, 4))
    row["act"] = draw(st.sampled_from([None, "relu", "relu6", "silu"]))
    if kind != "conv":
        widths = {"expansion": st.integers(1, 6), "hidden": st.integers(41, 90)}
        name = draw(st.sampled_from(sorted(widths)))
        row[name] = draw(widths[name])
        # A fused block that does not expand has no squeeze-excite.
        row["se"] = draw(st.booleans()) and (kind == "mbconv" or name == "hidden")
        row["se_width"] = draw(st.sampled_from([None, 3, "input/3 exact", "hidden/5", "hidden/2 exact"]))
    if kind == "mbconv":
        row["start_kernel"] = draw(st.sampled_from([None, 1, 3, 5]))
        if "hidden" in row and not row["se"] and row["start_kernel"] and draw(st.booleans()):
            row |= {"kernel": 0, "padding": None}
    return row


@st.composite
def definitions(draw):
    """Draw networks that no space contains."""
    hidden = {"head_expansion": draw(st.none() | st.integers(1, 6))}
    if hidden["head_expansion"] is None:
        hidden["head_hidden"] = draw(st.none() | st.integers(1, 50))
    features = draw(st.none() | st.integers(1, 100))
    if features is not None:
        hidden |= {"head_bias": draw(st.booleans()), "head_norm": draw(st.booleans())}
    return Definition.from_dict(
        {
            "name": "random",
            "resolution": draw(st.integers(20, 70)),
            "stem_channels": draw(st.integers(1, 30)),
            "stages": draw(st.lists(st.lists(rows(), max_size=2), max_size=3)),
            "head_features": features,
            "se_width": draw(st.sampled_from(["input/4", "hidden/4", "input/4 exact", 5])),
            "padding": draw(st.sampled_from(["half", "same"])),
            **hidden,
        }
    )


@given(definitions(), st.integers(1, 4), st.integers(1, 20), st.sampled_from(["published", "half"]))
@settings(max_examples=30, deadline=None)
def test_native_reference_and_module_count_arbitrary_networks_alike(
    definition, in_chans, num_classes, padding
):
    lowered = lower_definitions([definition], padding)
    native = count_definitions([definition], in_chans, num_classes, padding)[0]
    network = on_meta(definition, in_chans=in_chans, num_classes=num_classes, padding=padding)
    assert native.tolist() == count_rows_reference(lowered, in_chans, num_classes)[0].tolist()
    assert native.tolist() == count_module(network).tolist()
    side = definition.resolution
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.zeros(1, in_chans, side, side, device="meta"))
    assert 2 * native[0] == counter.get_total_flops()
    assert Definition.from_json(definition.to_json()) == definition


def test_count_module_does_not_change_the_network():
    definition = definition_of(load_space("tiny"), load_space("tiny").random(1, seed=5))[0]
    network = create(definition).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    counted = count_module(network)
    assert counted.tolist() == count_definitions([definition])[0].tolist()
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    assert len(counted) == len(STATISTICS)
