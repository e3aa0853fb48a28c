import pytest
import torch

from narsfast.common.threads import torch_threads
from narsfast.predictor._network import apply_layers, copy_layers, new_layers


def layers(members=3):
    return new_layers([5, 7, 2], members, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("relu_last", [True, False])
def test_each_member_is_an_independent_perceptron(relu_last):
    network = layers()
    inputs = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    together = apply_layers(network, inputs, relu_last)
    for member in range(3):
        (w0, b0), (w1, b1) = ((w[member], b[member] + 0.5) for w, b in network)
        network[0][1][member], network[1][1][member] = b0, b1
        alone = torch.relu(inputs @ w0 + b0) @ w1 + b1
        after = apply_layers(network, inputs, relu_last)
        assert torch.allclose(after[member], torch.relu(alone) if relu_last else alone, atol=1e-6)
        assert not torch.equal(after[member], together[member])
        others = [m for m in range(3) if m > member]
        assert torch.equal(after[others], together[others])


def test_members_have_different_initial_weights():
    weight = layers()[0][0]
    assert not torch.equal(weight[0], weight[1])


def test_copies_repeat_all_members_and_share_no_memory():
    network = layers(members=2)
    copied = copy_layers(network, times=3)
    assert copied[0][0].shape == (6, 5, 7)
    assert torch.equal(copied[0][0][4], network[0][0][0])
    copied[0][0].zero_()
    assert network[0][0].abs().sum() > 0


def test_torch_threads_restores_the_number_even_after_an_error():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with torch_threads(1):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        with pytest.raises(KeyError), torch_threads(1):
            raise KeyError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
