"""Whole networks trained with both kinds of ops."""

import pytest
import torch
from torch.nn import functional

from narsfast.arch import create, definition_of
from narsfast.space import load_space


@pytest.mark.parametrize("space", ["tiny", "mobile"])
def test_the_first_twenty_losses_agree(space):
    loaded = load_space(space)
    definition = definition_of(loaded, loaded.random(1, seed=3))[0]

    def losses(ops):
        torch.manual_seed(0)
        network = create(definition, num_classes=10, padding="half", ops=ops)
        network = network.to(memory_format=torch.channels_last).train()
        optimizer = torch.optim.SGD(network.parameters(), 0.02, momentum=0.9)
        found = []
        for _ in range(20):
            images = torch.randn(16, 3, 32, 32).contiguous(memory_format=torch.channels_last)
            labels = images.mean((1, 2, 3)).mul(100).long().clamp(-4, 5) + 4
            loss = functional.cross_entropy(network(images), labels)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            found.append(loss.item())
        return torch.tensor(found)

    fused, plain = losses("fused"), losses("torch")
    assert plain[-1] != plain[0]
    torch.testing.assert_close(fused, plain, rtol=0, atol=1e-3)
