import numpy as np
import pytest
import torch

from narsfast.space import Recipe
from narsfast.training import RMSpropTF, build_optimizer, peak_rate


def test_rmsprop_equals_the_formula_in_numpy():
    rng = np.random.default_rng(0)
    w = rng.normal(size=5)
    weight = torch.nn.Parameter(torch.tensor(w))
    optimizer = RMSpropTF([weight], lr=0.1, alpha=0.8, eps=1e-2, momentum=0.7, weight_decay=0.05)
    square, velocity = np.ones(5), np.zeros(5)
    for rate in (0.1, 0.1, 0.02):
        gradient = rng.normal(size=5)
        optimizer.param_groups[0]["lr"] = rate
        weight.grad = torch.tensor(gradient)
        optimizer.step()
        g = gradient + 0.05 * w
        square = 0.8 * square + 0.2 * g**2
        velocity = 0.7 * velocity + rate * g / np.sqrt(square + 1e-2)
        w = w - velocity
        np.testing.assert_allclose(weight.detach().numpy(), w, rtol=1e-12)
        assert weight.grad.equal(torch.tensor(gradient))


def test_epsilon_is_inside_the_root():
    """With a mean square near zero, a step is lr * g / sqrt(eps), not lr * g / eps."""
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = RMSpropTF([weight], lr=1.0, alpha=0.0, eps=1e-4, momentum=0.0)
    weight.grad = torch.tensor([1e-6])
    optimizer.step()
    assert weight.item() == pytest.approx(-1e-6 / 1e-2, rel=1e-4)


def test_defaults_and_untouched_parameters():
    weights = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    optimizer = RMSpropTF(weights, lr=0.1)
    assert {k: optimizer.defaults[k] for k in ("alpha", "eps", "momentum")} == {
        "alpha": 0.9,
        "eps": 1e-3,
        "momentum": 0.9,
    }
    weights[0].grad = torch.ones(2)
    optimizer.step()
    assert not weights[0].equal(torch.ones(2))
    assert weights[1].equal(torch.ones(2))


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
