"""Networks under the tools of torch: hooks, fused norms, FLOP counters, export, trace, torch.fx; tests/emit has ONNX."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.feature_extraction import create_feature_extractor

from narsfast.arch import ConvNorm, Definition, InvertedResidual, create, set_ops

DEFINITION = Definition.from_dict(
    {
        "name": "small",
        "resolution": 32,
        "stem_channels": 8,
        "stages": [
            [[3, 1, 8, 1, 1, False, None]],
            [[5, 3, 16, 2, 1, True, None], [3, 2, 16, 1, 1, True, None]],
        ],
        "head_expansion": 2,
        "head_features": 32,
    }
)


@pytest.fixture
def network():
    """Build a network in evaluation whose every weight matters."""
    torch.manual_seed(0)
    built = create(DEFINITION, num_classes=5, drop_path=0.1).eval()
    with torch.no_grad():
        for module in built.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.weight, module.running_var):
                    tensor.uniform_(0.5, 1.5)
                for tensor in (module.bias, module.running_mean):
                    tensor.normal_(0, 0.5)
        built.head.classifier.weight.normal_()
    return built


@pytest.fixture
def images():
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def plain(network):
    twin = copy.deepcopy(network)
    set_ops(twin, "torch")
    return twin


def replace(network, kind, make):
    """Replace every module of a class; return how many there were."""
    replaced = 0
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is kind:
                setattr(parent, name, make(child))
                replaced += 1
    return replaced


def test_hooks_of_every_leaf_see_what_the_plain_modules_compute(network, images):
    def outputs(of):
        seen = {}
        parts = [(name, part) for name, part in of.named_modules() if not list(part.children())]
        for name, part in parts:
            part.register_forward_hook(
                lambda _, __, out, name=name: seen.update({name: out.detach().clone()})
            )
        of(images)
        return seen, {name for name, _ in parts}

    network(images)
    plain_seen, _ = outputs(plain(network))
    seen, names = outputs(network)
    assert names - set(seen) == {"stages.1.0.drop_path"}, (
        "drop path stands in a block without a shortcut, too"
    )
    for name, out in plain_seen.items():
        torch.testing.assert_close(seen[name], out)


@pytest.mark.parametrize(
    "name",
    [
        "stages.1.0.expand",
        "stages.1.0.expand.1",
        "stages.1.0.expand.2",
        "stages.1.0.depthwise",
        "stages.0.0.expand",
    ],
)
def test_hooks_between_expansion_and_depthwise_see_the_normalized_map(network, images, name):
    """Otherwise the depthwise convolution applies norm and activation as it reads its input."""
    seen = []
    for of in (plain(network), network):
        of(images)
        of.get_submodule(name).register_forward_hook(lambda _, given, out: seen.append((given[0], out)))
        of(images)
    assert len(seen) == 2
    for one, other in zip(*seen, strict=True):
        torch.testing.assert_close(one, other)


def test_gradients_of_a_hooked_map_are_those_of_the_plain_network(network, images):
    """Grad-CAM: the output of one module, and its gradient."""
    found = []
    for of in (plain(network), network):
        kept = {}
        of.stages[1][0].expand[2].register_forward_hook(lambda _, __, out, kept=kept: kept.update(out=out))
        of.stages[1][0].expand[2].register_full_backward_hook(lambda _, __, d, kept=kept: kept.update(d=d[0]))
        of(images)[:, 2].sum().backward()
        found.append(kept)
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        (nn.Hardswish, lambda _: nn.ReLU()),
        (nn.Hardswish, lambda _: nn.SiLU()),
        (nn.BatchNorm2d, lambda norm: nn.GroupNorm(2, norm.num_features)),
        (nn.BatchNorm2d, lambda norm: nn.InstanceNorm2d(norm.num_features)),
        (nn.BatchNorm2d, lambda norm: nn.BatchNorm2d(norm.num_features, affine=False)),
    ],
)
@pytest.mark.parametrize("training", [False, True])
def test_other_norms_and_activations_are_honored(network, images, kind, make, training):
    before = network(images)
    assert replace(network, kind, make) >= 6
    network.train(training)
    for module in network.modules():
        if isinstance(module, InvertedResidual) and module.shortcut:
            module.drop_path.p = 0.0
    twin = plain(network)
    after, expected = network(images), twin(images)
    torch.testing.assert_close(after, expected, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(after, before, rtol=1e-2)


def test_norms_are_fused_into_convolutions(network, images):
    expected = network(images)
    for module in list(network.modules()):
        if isinstance(module, ConvNorm):
            module[0], module[1] = fuse_conv_bn_eval(module[0], module[1]), nn.Identity()
    with torch.no_grad():
        torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-4)


def test_layers_can_be_added_to_and_taken_from_an_expansion(network, images):
    block = network.stages[1][0]
    network(images)
    block.expand.append(nn.Tanh())
    torch.testing.assert_close(network(images), plain(network)(images))
    del block.expand[2:]
    torch.testing.assert_close(network(images), plain(network)(images))


@pytest.mark.parametrize("training", [False, True])
def test_flops_are_those_of_the_plain_network(network, images, training):
    counted = []
    for of in (plain(network), network):
        of.train(training)
        of(images)
        with FlopCounterMode(display=False) as counter:
            out = of(images)
            if training:
                out.sum().backward()
        counted.append(counter.get_total_flops())
    assert counted[1] == counted[0] > 0


@pytest.mark.parametrize("gradients", [False, True])
def test_exported_program_takes_any_batch(network, images, gradients):
    with torch.set_grad_enabled(gradients):
        batch = {0: torch.export.Dim("batch")}
        program = torch.export.export(network, (images,), dynamic_shapes=(batch,), strict=False).module()
        for size in (1, 2, 40):
            other = torch.randn(size, 3, 32, 32)
            torch.testing.assert_close(program(other), network(other), rtol=1e-3, atol=1e-4)


@pytest.mark.filterwarnings("ignore:.*deprecated")
@pytest.mark.parametrize("gradients", [False, True])
def test_trace_is_saved_and_takes_any_batch(network, images, gradients, tmp_path):
    network(images)
    with torch.set_grad_enabled(gradients):
        traced = torch.jit.trace(network, (images,))
    traced.save(tmp_path / "network.pt")
    loaded = torch.jit.load(tmp_path / "network.pt")
    assert "narsfast::" not in str(loaded.inlined_graph)
    torch.testing.assert_close(loaded(images[:1]), network(images[:1]), rtol=1e-3, atol=1e-4)


def test_features_are_extracted_by_fx(network, images):
    network(images)
    extractor = create_feature_extractor(network, ["stages.1.0"])
    (found,) = extractor(images).values()
    expected = network.stages[1][0](network.stages[0](network.stem(images)))
    torch.testing.assert_close(found, expected)


def test_one_image_without_a_batch_is_refused_by_torch(network, images):
    with pytest.raises(ValueError, match="expected 4D input"):
        network(images[0])
