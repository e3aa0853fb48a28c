"""What layers read on images, and children that are fitted to it."""

import numpy as np
import pytest
import torch
from torch import nn

from narsfast.arch import Definition, Inheritance
from narsfast.arch._channels import IMAGE, channels_of
from narsfast.arch._child import Family
from narsfast.arch._moments import (
    Moment,
    Moments,
    Reader,
    elimination_order,
    measure_moments,
    predicted_from,
)

from .test_inherit import PARENT, SIDE, build, permuted, shrunk


def images(count=48):
    return torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1)).split(16)


@torch.no_grad()
def alive(definition, weights=None):
    """Build a network whose norms have the statistics of the images: its outputs depend on them."""
    network = build(definition, weights)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    network.train()(torch.cat(images()))
    return network.eval()


def moments_of(definition, network):
    layers = [layer.name for layer in channels_of(definition).layers if layer.into not in (None, IMAGE)]
    return Moments(measure_moments(network, layers, images()))


def test_moments_are_those_of_all_positions():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 2, 1)).train()
    batches = torch.randn(4, 3, 12, 12).split(2)
    found = measure_moments(network, ["2"], batches)["2"]
    assert not network.training
    with torch.no_grad():
        values = network[:2](torch.cat(batches)).transpose(0, 1).flatten(1).numpy()
    np.testing.assert_allclose(found.mean, values.mean(1), rtol=1e-5)
    np.testing.assert_allclose(found.covariance, np.cov(values, bias=True), rtol=1e-4, atol=1e-6)
    assert not network[2]._forward_pre_hooks


def test_many_positions_are_sampled_in_the_same_way():
    network = nn.Sequential(nn.Conv2d(3, 4, 1)).eval()
    batch = [torch.randn(1, 3, 64, 64)]
    first, again = (measure_moments(network, ["0"], batch)["0"] for _ in range(2))
    assert torch.equal(first.covariance, again.covariance)
    whole = torch.cov(batch[0][0].flatten(1), correction=0)
    assert not torch.equal(first.covariance, whole)
    torch.testing.assert_close(first.covariance, whole, rtol=0, atol=0.2)


def moment(factors):
    """Return the moment of channels that are linear in independent ones of variance 1."""
    factors = torch.tensor(factors, dtype=torch.float32)
    return Moment(torch.arange(len(factors), dtype=torch.float32), factors @ factors.T)


def test_channels_that_others_say_or_no_one_reads_go_first():
    # Channel 1 is twice channel 0, channel 2 varies alone, channel 3 is not read, channel 4 does not vary.
    known = moment([[1.0, 0, 0], [2.0, 0, 0], [0, 1.0, 0], [0, 0, 3.0], [0, 0, 0]])
    order = elimination_order([Reader(torch.tensor([[1.0, 1.0, 1.0, 0.0, 1.0]]), known)]).tolist()
    assert set(order[:2]) == {1, 2}
    assert sorted(order) == list(range(5))


def test_a_dropped_channel_is_predicted_from_the_others():
    known = moment([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    factors, offsets = predicted_from(torch.tensor([0, 2]), torch.tensor([1]), known)
    torch.testing.assert_close(factors, torch.tensor([[2.0, 0.0]]), rtol=0.05, atol=1e-6)
    torch.testing.assert_close(offsets, 1.0 - factors @ torch.tensor([0.0, 2.0]))


BLOCKS = {
    "mbconv": {"kernel": 3, "expansion": 4, "channels": 16},
    "squeeze-excite": {"kernel": 5, "expansion": 4, "channels": 16, "se": True},
    "no shortcut": {"kernel": 3, "expansion": 3, "channels": 24, "stride": 2},
    "start": {"kernel": 3, "expansion": 4, "channels": 16, "start_kernel": 3},
    "fused": {"kernel": 3, "expansion": 4, "channels": 16, "kind": "fused"},
}


@pytest.mark.parametrize("kind", BLOCKS)
def test_a_child_of_a_redundant_parent_computes_the_same(kind):
    """Half of the hidden channels are nearly those of the other half, so that nothing is lost without them."""
    parent = Definition.from_dict(
        {
            "name": "p",
            "resolution": SIDE,
            "stem_channels": 16,
            "stages": [[BLOCKS[kind]]],
            "head_expansion": 2,
            "head_features": 8,
        }
    )
    weights = build(parent).state_dict()
    group = next(group for group in channels_of(parent).sizes if group.endswith("hidden"))
    half = channels_of(parent).sizes[group] // 2
    for layer in channels_of(parent).layers:
        if layer.out == group:
            names = [f"{layer.name}.weight", *([f"{layer.name}.bias"] if layer.bias else [])]
            if layer.norm:
                names += [
                    f"{layer.norm}.{part}" for part in ("weight", "bias", "running_mean", "running_var")
                ]
            for name in names:
                noise = 0.02 * torch.randn(weights[name][:half].shape)
                weights[name][half:] = weights[name][:half] * (1 + noise)
    network = alive(parent, weights)
    child = Family(parent).child({"stage1.hidden": 50})
    fitted, plain = (
        build(child, Inheritance(parent, child)(network.state_dict(), moments=moments))
        for moments in (moments_of(parent, network), None)
    )
    batch = torch.cat(images())
    with torch.no_grad():
        wanted, *found = (one.stages(one.stem(batch)) for one in (network, fitted, plain))
    errors = [float((one - wanted).square().mean() / wanted.var()) for one in found]
    assert errors[0] < 0.02
    assert errors[0] < 0.1 * errors[1]


def test_the_order_of_channels_does_not_matter():
    network = alive(PARENT)
    child = shrunk(PARENT)
    mixed = build(PARENT, permuted(PARENT, network.state_dict(), seed=3))
    here, there = (
        build(child, Inheritance(PARENT, child)(one.state_dict(), moments=moments_of(PARENT, one)))
        for one in (network, mixed)
    )
    batch = torch.cat(images())
    with torch.no_grad():
        torch.testing.assert_close(here(batch), there(batch), rtol=1e-2, atol=1e-2)


def test_the_parent_itself_is_not_changed():
    network = build(PARENT)
    weights = network.state_dict()
    found = Inheritance(PARENT, PARENT)
    assert not found.shrinks
    child = found(weights, moments=moments_of(PARENT, network))
    assert all(torch.equal(child[name], tensor) for name, tensor in weights.items())
