import math

import pytest
import torch
from torch import nn

from narsfast.arch import FEATURE_STRIDES, Definition, InvertedResidual, create
from narsfast.errors import UserError

SMALL = Definition.from_dict(
    {
        "name": "small",
        "resolution": 64,
        "stem_channels": 8,
        "stages": [
            [[3, 1, 8, 1, 2, False, None]],
            [[5, 4, 16, 2, 1, False, None], [3, 2, 16, 1, 2, False, None]],
            [[3, 3, 24, 2, 2, True, None]],
            [[5, 3, 32, 2, 1, False, 1], [5, 3, 40, 1, 2, True, None]],
            [[3, 4, 48, 2, 1, True, 0], [3, 4, 48, 1, 1, True, None]],
        ],
        "head_expansion": 2,
        "head_features": 32,
    }
)


def blocks(network):
    return [module for module in network.modules() if isinstance(module, InvertedResidual)]


def test_shapes_of_logits_and_features():
    network = create(SMALL, num_classes=7, in_chans=1, padding="half").eval()
    images = torch.randn(2, 1, 64, 64)
    assert network(images).shape == (2, 7)
    assert network.forward_features(images).shape == (2, 48, 2, 2)
    assert network.definition is SMALL


def test_published_padding_shrinks_maps_of_rows_with_padding():
    images = torch.randn(1, 3, 64, 64)
    maps = create(SMALL, features_only=True).eval()(images)
    assert [m.shape[-1] for m in maps] == [16, 8, 3, 1]
    maps = create(SMALL, features_only=True, padding="half").eval()(images)
    assert [m.shape[-1] for m in maps] == [16, 8, 4, 2]


def test_feature_maps_are_the_last_at_their_strides():
    network = create(SMALL, features_only=True, padding="half").eval()
    info = network.feature_info
    assert [i.stride for i in info] == list(FEATURE_STRIDES)
    assert [i.channels for i in info] == [16, 24, 40, 48]
    seen = {}
    for i in info:
        network.get_submodule(i.module).register_forward_hook(
            lambda module, inputs, output, name=i.module: seen.update({name: output})
        )
    maps = network(torch.randn(1, 3, 64, 96))
    for i, got in zip(info, maps, strict=True):
        assert got.shape == (1, i.channels, 64 // i.stride, 96 // i.stride)
        assert got is seen[i.module]


def test_backbone_loads_the_weights_of_the_network():
    network = create(SMALL).eval()
    backbone = create(SMALL, features_only=True).eval()
    missing, unexpected = backbone.load_state_dict(network.state_dict(), strict=False)
    assert not missing
    assert all(name.startswith("head.") for name in unexpected)
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(backbone(images)[-1], network.forward_features(images))
    assert network.feature_info == backbone.feature_info


def test_backbone_ends_at_stride_32():
    stages = (*SMALL.stages, ((3, 2, 56, 2, 1, False, None),))
    deep = Definition.from_dict(SMALL.to_dict() | {"stages": stages})
    backbone = create(deep, features_only=True)
    assert [i.stride for i in backbone.feature_info] == [4, 8, 16, 32]
    assert all(block.project[0].out_channels != 56 for block in blocks(backbone))
    assert any(block.project[0].out_channels == 56 for block in blocks(create(deep)))


def test_backbone_without_maps_is_refused():
    flat = Definition.from_dict(SMALL.to_dict() | {"stages": SMALL.stages[:1]})
    with pytest.raises(UserError, match="no map"):
        create(flat, features_only=True)


@pytest.mark.parametrize(
    ("row", "shortcut", "expands"),
    [
        ((3, 4, 8, 1, 1, False, None), True, True),
        ((3, 1, 8, 1, 1, False, None), True, False),
        ((3, 4, 8, 2, 1, False, None), False, True),
        ((3, 4, 16, 1, 1, False, None), False, True),
        ((5, 4, 8, 1, 1, False, 1), False, True),
    ],
)
def test_block_has_shortcut_and_expansion_by_its_shapes(row, shortcut, expands):
    definition = Definition.from_dict(SMALL.to_dict() | {"stages": [[row]]})
    (block,) = blocks(create(definition))
    assert block.shortcut == shortcut
    assert isinstance(block.expand, nn.Identity) != expands


def test_block_expands_at_expansion_one_if_the_width_is_rounded_up():
    """A0's first block: 12 channels become 16."""
    block = blocks(create("a0"))[0]
    assert (block.expand[0].in_channels, block.expand[0].out_channels) == (12, 16)


def test_initial_weights_have_the_documented_scales():
    network = create("a0")
    for block in blocks(network):
        assert bool((block.project[1].weight == 0).all()) == block.shortcut
        depthwise = block.depthwise.conv
        expected = math.sqrt(2 / (depthwise.out_channels * math.prod(depthwise.kernel_size)))
        assert depthwise.weight.std().item() == pytest.approx(expected, rel=0.35)
    features = network.head.features
    assert features.weight.std().item() == pytest.approx(math.sqrt(2 / features.out_channels), rel=0.02)
    assert network.head.classifier.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert not network.head.classifier.bias.any()


def test_weights_depend_on_the_global_seed():
    torch.manual_seed(3)
    first = create(SMALL).state_dict()
    torch.manual_seed(3)
    second = create(SMALL).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_residual_block_starts_as_the_identity():
    network = create(SMALL).eval()
    block = next(block for block in blocks(network) if block.shortcut)
    x = torch.randn(2, block.project[0].out_channels, 8, 8)
    assert torch.equal(block(x), x)


def test_drop_path_grows_linearly_to_the_given_rate():
    network = create(SMALL, drop_path=0.5)
    rates = [block.drop_path.p if block.shortcut and i else 0.0 for i, block in enumerate(blocks(network))]
    last = len(rates) - 1
    expected = [0.5 * i / last if block.shortcut else 0.0 for i, block in enumerate(blocks(network))]
    assert rates == pytest.approx(expected)
    assert rates[-1] == 0.5


def test_dropped_path_returns_the_input():
    network = create(SMALL, drop_path=0.9)
    block = blocks(network)[-1].train()
    nn.init.ones_(block.project[1].weight)
    x = torch.randn(64, 48, 2, 2)
    kept = [torch.equal(got, given) for got, given in zip(block(x), x, strict=True)]
    assert 40 < sum(kept) < 64
    assert not torch.equal(block.eval()(x), x)


def test_dropout_is_before_the_classifier():
    head = create(SMALL, dropout=0.5).train().head
    seen = []
    head.classifier.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    head(torch.rand(8, 48, 2, 2) + 1)
    assert seen[0].shape == (8, 32)
    assert 0.3 < (seen[0] == 0).float().mean() < 0.9


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_classes": 0}, "num_classes is 0"),
        ({"in_chans": 0}, "in_chans is 0"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"drop_path": -0.1}, "drop_path is -0.1"),
        ({"padding": "same"}, "padding is 'same'"),
    ],
)
def test_wrong_arguments_are_refused(options, words):
    with pytest.raises(UserError, match=words):
        create(SMALL, **options)


def test_unknown_name_is_refused():
    with pytest.raises(UserError, match="'fbnet'"):
        create("fbnet")


def test_every_weight_gets_a_gradient():
    network = create(SMALL, num_classes=3, drop_path=0.1, dropout=0.1).train()
    for block in blocks(network):
        nn.init.ones_(block.project[1].weight)
    network(torch.randn(4, 3, 64, 64)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "tf_efficientnet_lite0", "mobilenetv4_conv_small"])
def test_backbones_of_other_networks_have_maps_at_all_strides(name):
    network, backbone = create(name, ops="torch").eval(), create(name, features_only=True, ops="torch").eval()
    missing, _ = backbone.load_state_dict(network.state_dict(), strict=False)
    assert not missing
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        maps = backbone(images)
        assert torch.equal(maps[-1], network.forward_features(images))
    assert [64 // m.shape[-1] for m in maps] == list(FEATURE_STRIDES)
    assert [m.shape[1] for m in maps] == [info.channels for info in backbone.feature_info]


def test_residual_blocks_of_every_kind_start_as_the_identity():
    row = {"kernel": 3, "expansion": 2, "channels": 8}
    rows = [row | {"start_kernel": 3}, row | {"kind": "fused"}, row | {"kernel": 0}]
    network = create(Definition.from_dict(SMALL.to_dict() | {"stages": [rows]})).eval()
    x = torch.randn(2, 8, 8, 8)
    for block in network.stages[0]:
        assert block.shortcut
        assert torch.equal(block(x), x)
    plain = [row | {"kind": "fused", "expansion": 1}, {"kernel": 3, "channels": 8, "kind": "conv"}]
    network = create(Definition.from_dict(SMALL.to_dict() | {"stages": [plain]})).eval()
    # The only norm of these comes before an activation, which would pass no gradient at scale 0.
    assert all((block(x) - x).abs().max() > 0 for block in network.stages[0])
    assert isinstance(network.stages[0][0].project, nn.Identity)
