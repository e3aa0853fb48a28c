"""The rivals of the optimizer's step, and ours, change what they are given."""

import torch

from bench import optimizer


def test_compiled_step_equals_torch_and_rival_changes_weights():
    optimizer.check(steps=2)
    made = optimizer.network()
    before = [parameter.detach().clone() for parameter in made.parameters()]
    optimizer.rival(made, foreach=True)()
    assert not any(a.equal(b) for a, b in zip(before, made.parameters(), strict=True) if b.numel() > 1)


def test_network_has_gradient_at_every_parameter():
    assert all(torch.any(parameter.grad != 0) for parameter in optimizer.network().parameters())
