import pytest

from narsfast.arch import Definition, Row, create, zoo
from narsfast.emit import block_notation

from .conftest import DEFINITION

mobilenetv3 = pytest.importorskip("timm.models.mobilenetv3", reason="the [timm] extra is not installed")


def timm_network(definition, num_classes=10):
    """Build a network from the block notation as timm builds its own FBNetV3."""
    from functools import partial

    from timm.models._efficientnet_blocks import SqueezeExcite
    from timm.models._efficientnet_builder import decode_arch_def, round_channels
    from torch import nn

    rounding = partial(round_channels, multiplier=1.0, round_limit=0.95)
    return mobilenetv3.MobileNetV3(
        decode_arch_def(block_notation(definition)),
        num_classes=num_classes,
        num_features=definition.head_features,
        head_bias=False,
        stem_size=definition.stem_channels,
        round_chs_fn=rounding,
        se_from_exp=False,
        act_layer=nn.Hardswish,
        se_layer=partial(SqueezeExcite, gate_layer="hard_sigmoid", rd_round_fn=rounding),
    )


def shapes(network):
    return sorted(tuple(weight.shape) for weight in network.parameters())


def test_block_notation_of_a_small_definition():
    assert block_notation(DEFINITION) == [
        ["ds_r1_k3_s1_e1_c8"],
        ["ir_r1_k5_s2_e4_c16_se0.25", "ir_r2_k3_s1_e2_c16_se0.25"],
        ["ir_r1_k3_s2_e3_c24"],
        ["cn_r1_k1_s1_c96"],
    ]


def test_first_block_that_alone_lacks_an_expansion_is_separate():
    rows = ((Row(3, 1, 12, 1, 3, False),),)
    wide = Definition(
        name="x", resolution=32, stem_channels=8, stages=rows, head_expansion=2, head_features=16
    )
    assert block_notation(wide)[0] == ["ds_r1_k3_s1_e1_c12", "ir_r2_k3_s1_e1_c12"]


@pytest.mark.parametrize("name", ["small", "FBNetV3_A", "FBNetV3_D"])
def test_timm_builds_weights_of_the_same_shapes(name):
    definition = DEFINITION if name == "small" else zoo()[name]
    expected = create(definition, num_classes=10, padding="half")
    assert shapes(timm_network(definition)) == shapes(expected)
