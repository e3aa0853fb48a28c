import pytest
import torch
from torch import nn

from narsfast.data import load_data
from narsfast.space import Recipe
from narsfast.training import train_network
from narsfast.training._norms import RunningStatistics


def network(momentum):
    return nn.Sequential(nn.BatchNorm1d(2, momentum=momentum), nn.Linear(2, 2), nn.BatchNorm1d(2))


@pytest.mark.parametrize("steps", [1, 3, 12])
def test_first_steps_are_a_plain_average(steps):
    """... up to 1 / momentum of them; then the momentum is the module's own."""
    norm = network(0.2)[0]
    statistics = RunningStatistics(norm)
    batches = [torch.randn(5, 2) for _ in range(steps)]
    expected = torch.zeros(2)
    for step, batch in enumerate(batches):
        statistics.at(step)
        norm(batch)
        share = max(0.2, 1 / (step + 1))
        expected = (1 - share) * expected + share * batch.mean(dim=0)
    torch.testing.assert_close(norm.running_mean, expected)
    if steps <= 5:
        torch.testing.assert_close(norm.running_mean, torch.stack(batches).mean(dim=(0, 1)))


def test_momentum_of_the_modules_is_restored():
    both = network(0.01)
    statistics = RunningStatistics(both)
    statistics.at(3)
    assert [both[0].momentum, both[2].momentum] == [0.25, 0.25]
    statistics.restore()
    assert [both[0].momentum, both[2].momentum] == [0.01, 0.1]


def test_short_training_with_slow_norms_beats_a_guess():
    """A norm that hardly moves is evaluated with what it saw, not with where it began."""
    recipe = Recipe(optimizer="sgd", learning_rate=0.1, batch_size=64, warmup_epochs=0, ema=False)

    def build():
        convolution = nn.Conv2d(1, 16, 3, 2)
        nn.init.constant_(convolution.bias, 5.0)
        return nn.Sequential(
            convolution, nn.BatchNorm2d(16, momentum=1e-3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)
        )

    found = train_network(build, 8, recipe, load_data("digits"), epochs=2, seed=0, keep_network=True)
    assert found.curve[-1] > 70
    assert found.network[1].momentum == 1e-3


def test_norm_without_a_momentum_is_left_alone():
    plain = network(None)
    RunningStatistics(plain).at(1)
    assert (plain[0].momentum, plain[2].momentum) == (None, 0.5)
