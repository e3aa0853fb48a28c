import pytest
import torch

from narsfast.space import Recipe
from narsfast.training import MovingAverage, build_optimizer, peak_rate


@pytest.mark.parametrize("name", ["rmsprop", "sgd"])
def test_weight_decay_acts_on_the_first_group_only(name):
    recipe = Recipe(optimizer=name, learning_rate=0.1, weight_decay=0.5, momentum=0.0)
    decayed, plain = (torch.ones(3, requires_grad=True) for _ in range(2))
    optimizer = build_optimizer(recipe, [decayed], [plain])
    for weight in (decayed, plain):
        weight.grad = torch.zeros(3)
    optimizer.step()
    assert (decayed < 1).all()
    assert plain.equal(torch.ones(3))


def test_sgd_is_nesterov_at_its_own_rate():
    recipe = Recipe(optimizer="sgd", learning_rate=0.01, sgd_factor=5.0, momentum=0.9, weight_decay=0.0)
    weight = torch.zeros(1, requires_grad=True)
    optimizer = build_optimizer(recipe, [weight], [])
    weight.grad = torch.ones(1)
    optimizer.step()
    assert weight.item() == pytest.approx(-0.05 * 1.9)  # gradient + momentum * velocity


def test_sgd_factor_is_for_sgd():
    assert peak_rate(Recipe(optimizer="sgd", learning_rate=0.02, sgd_factor=4.0)) == pytest.approx(0.08)
    assert peak_rate(Recipe(optimizer="rmsprop", learning_rate=0.02, sgd_factor=4.0)) == pytest.approx(0.02)


@pytest.mark.parametrize("name", ["rmsprop", "sgd"])
def test_the_average_takes_in_the_new_weights(name):
    weight = torch.ones(3, requires_grad=True)
    buffer = torch.full((2,), 5.0)
    average = MovingAverage([weight, buffer], decay=0.9)
    recipe = Recipe(optimizer=name, learning_rate=0.1, momentum=0.0)
    optimizer = build_optimizer(recipe, [weight], [], average=average)
    weight.grad = torch.ones(3)
    buffer.fill_(7.0)
    optimizer.step()
    kept = 2 / 11  # of the first step
    (_, weights), (_, buffers) = average.pairs
    assert weight.max() < 1
    torch.testing.assert_close(weights, kept + (1 - kept) * weight.detach())
    torch.testing.assert_close(buffers, torch.full((2,), kept * 5 + (1 - kept) * 7))
