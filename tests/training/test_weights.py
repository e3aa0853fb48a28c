import copy

import pytest
import torch
from torch import nn

from narsfast.arch import create
from narsfast.training import FlatWeights, MovingAverage, ema_decay
from narsfast.training._weights import Part


@pytest.fixture
def network(small):
    torch.manual_seed(0)
    return create(small, num_classes=10, in_chans=1, dropout=0.0, drop_path=0.0)


def test_flat_weights_keep_values_and_split_by_dimensions(network):
    before = copy.deepcopy(network.state_dict())
    flat = FlatWeights(network)
    after = network.state_dict()
    assert all(before[name].equal(after[name]) for name in before)
    inside = {
        vector: {
            name
            for name, tensor in [*network.named_parameters(), *network.named_buffers()]
            if shares(tensor, v)
        }
        for vector, v in zip(("decayed", "plain", "buffers"), flat.vectors(), strict=True)
    }
    kinds = {id(p): type(m) for m in network.modules() for p in m.parameters(recurse=False)}
    for name, parameter in network.named_parameters():
        weight = kinds[id(parameter)] in (nn.Conv2d, nn.Linear) and name.endswith("weight")
        assert name in inside["decayed" if weight else "plain"]
    assert inside["buffers"] == {n for n, b in network.named_buffers() if b.is_floating_point()}


def shares(tensor, vector):
    return tensor.untyped_storage().data_ptr() == vector.untyped_storage().data_ptr()


def test_weights_in_channels_last_keep_their_layout(network):
    network.to(memory_format=torch.channels_last)
    before = copy.deepcopy(network.state_dict())
    flat = FlatWeights(network)
    weight = network.get_parameter("stem.0.weight")
    deep = max(network.parameters(), key=lambda p: p.shape[1] if p.ndim == 4 else 0)
    for parameter in (weight, deep):
        assert parameter.is_contiguous(memory_format=torch.channels_last)
        assert parameter.grad.stride() == parameter.stride()
        assert shares(parameter, flat.decayed[0])
    assert all(before[name].equal(tensor) for name, tensor in network.state_dict().items())


def test_flat_weights_have_the_gradients_and_steps_of_the_network(network):
    for parameter in network.parameters():
        nn.init.normal_(parameter, 0.0, 0.3)  # norms of scale 0 would hide gradients
    plain = copy.deepcopy(network)
    flat = FlatWeights(network)
    images, labels = torch.rand(8, 1, 16, 16), torch.arange(8)
    nn.functional.cross_entropy(plain(images), labels).backward()
    for _ in range(2):  # gradients of the first pass must not stay
        flat.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
    for (name, a), b in zip(plain.named_parameters(), network.parameters(), strict=True):
        assert a.grad.abs().sum() > 0, name
        torch.testing.assert_close(a.grad, b.grad, msg=name)
    optimizers = [
        torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9),
        torch.optim.SGD(flat.trained(), lr=0.1, momentum=0.9),
    ]
    for optimizer in optimizers:
        optimizer.step()
    for (name, a), b in zip(plain.named_parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(a, b, msg=name)


def test_groups_are_vectors_or_whole_tensors(network):
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    flat = FlatWeights(network)
    assert [len(group) for group in flat.groups()] == [1, 1]
    decayed, plain = flat.groups(whole_tensors=True)
    assert {names[id(tensor)] for tensor in (*decayed, *plain)} == set(names.values())
    assert all(tensor.ndim > 1 for tensor in decayed)
    assert all(tensor.ndim == 1 for tensor in plain)
    for tensors, (vector,) in zip((decayed, plain), flat.groups(), strict=True):
        assert all(shares(tensor, vector) and shares(tensor.grad, vector.grad) for tensor in tensors)
        assert len(vector) % 16 == 0


def test_moving_average_of_weights_and_buffers_follows_the_formula(network):
    flat = FlatWeights(network)
    average = MovingAverage(flat.vectors(), decay=0.25)
    name, buffer = "head.classifier.weight", "stem.1.running_mean"
    expected = {key: network.state_dict()[key].clone() for key in (name, buffer)}
    for step in range(1, 6):
        with torch.no_grad():
            for vector in flat.vectors():
                vector.add_(0.1 * step)
        average.update()
        kept = min(0.25, (1 + step) / (10 + step))
        state = network.state_dict()
        expected = {key: kept * value + (1 - kept) * state[key] for key, value in expected.items()}
    present = {key: network.state_dict()[key].clone() for key in expected}
    with average.applied():
        for key, value in expected.items():
            torch.testing.assert_close(network.state_dict()[key], value)
            assert not network.state_dict()[key].equal(present[key])
    for key in expected:
        assert network.state_dict()[key].equal(present[key])


@pytest.mark.parametrize(
    ("decay", "step", "kept"), [(0.99985, 1, 2 / 11), (0.99985, 90, 0.91), (0.5, 90, 0.5)]
)
def test_ema_decay_is_bounded_in_early_steps(decay, step, kept):
    assert ema_decay(decay, step) == pytest.approx(kept)


def test_frozen_parameters_are_not_trained(network):
    frozen = network.get_parameter("stem.0.weight").requires_grad_(False)
    flat = FlatWeights(network)
    assert shares(frozen, flat.buffers)
    assert frozen.grad is None
    for whole in (False, True):
        assert not any(shares(frozen, tensor) for group in flat.groups(whole) for tensor in group)


def test_each_part_has_vectors_of_its_own_that_freeze_and_thaw(network):
    stem = {"stem.0.weight", "stem.1.weight", "stem.1.bias"}
    before = copy.deepcopy(network.state_dict())
    flat = FlatWeights(network, dict.fromkeys(stem, Part(0.5, frozen=True)))
    assert (len(flat.decayed), len(flat.plain)) == (2, 2)
    assert all(before[name].equal(tensor) for name, tensor in network.state_dict().items())
    for name, parameter in network.named_parameters():
        (vector,) = (vector for vector in flat.trained() if shares(parameter, vector))
        assert flat.parts[vector] == flat.parts[parameter] == (Part(0.5, True) if name in stem else Part())
    images, labels = torch.rand(8, 1, 16, 16), torch.arange(8)

    def with_gradient():
        flat.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        return {name for name, parameter in network.named_parameters() if parameter.grad is not None}

    everything = {name for name, _ in network.named_parameters()}
    flat.freeze()
    assert with_gradient() == everything - stem
    assert len(flat.gradients()) == 2
    flat.thaw()
    assert with_gradient() == everything
    assert len(flat.gradients()) == 4
    for parameter in network.parameters():
        (vector,) = (vector for vector in flat.trained() if shares(parameter, vector))
        assert shares(parameter.grad, vector.grad)
    assert network.get_parameter("stem.1.bias").grad.abs().sum() > 0


def test_empty_vectors_are_on_the_device_of_the_weights():
    flat = FlatWeights(nn.Linear(2, 2, bias=False, device="meta"))
    assert [vector.device.type for vector in flat.vectors()] == ["meta"] * 3
