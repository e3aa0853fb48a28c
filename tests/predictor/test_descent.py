import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from narsfast.predictor._descent import Schedule, batch_order, minimize
from narsfast.predictor._network import apply_layers, new_layers

QUICK = Schedule(steps=300, batch=8, rate=0.1, weight_decay=0.0, average=0.2)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=4), st.integers(1, 12), st.integers(1, 16))
def test_every_member_visits_its_rows_equally_often(sizes, steps, batch):
    rows = [torch.arange(100 * number, 100 * number + size) for number, size in enumerate(sizes)]
    schedule = Schedule(steps, batch, 0.1, 0.0, 0.5)
    order = batch_order(rows, schedule, generator())
    assert order.shape == (steps, len(sizes), min(batch, *sizes, batch))
    for number, own in enumerate(rows):
        seen = torch.bincount(order[:, number].flatten() - 100 * number, minlength=len(own))
        assert len(seen) == len(own)
        assert seen.max() - seen.min() <= 1


def test_members_have_different_orders():
    order = batch_order([torch.arange(50)] * 2, QUICK, generator())
    assert not torch.equal(order[:, 0], order[:, 1])
    assert torch.equal(order, batch_order([torch.arange(50)] * 2, QUICK, generator()))


def regression(members, picked=slice(None)):
    """Train the `picked` ones of `members` layers with different starts together on y = 3 x - 1."""
    layers = [(w[picked].clone(), b[picked].clone()) for w, b in new_layers([1, 1], members, generator())]
    x = torch.linspace(-1, 1, 16)[:, None]

    def loss(step):
        return (apply_layers(layers, x, False) - (3 * x - 1)).square().mean(dim=(1, 2)).sum()

    minimize(layers, loss, QUICK)
    return layers


def test_minimize_reaches_the_minimum():
    ((weight, bias),) = regression(members=3)
    assert torch.allclose(weight, torch.tensor(3.0), atol=0.05)
    assert torch.allclose(bias, torch.tensor(-1.0), atol=0.05)
    assert not weight.requires_grad


def test_members_are_trained_independently():
    together = regression(members=3)
    alone = regression(members=3, picked=slice(1, 2))
    assert torch.allclose(together[0][0][1], alone[0][0][0], atol=1e-6)


def test_final_weights_are_the_average():
    """With a constant gradient, the last weight is the furthest and the mean over all steps about half of it."""
    paths = {}
    for average in (1.0, 1e-9):
        tensor = torch.zeros(1, 1, 1), torch.zeros(1, 1)
        schedule = Schedule(steps=200, batch=1, rate=0.1, weight_decay=0.0, average=average)
        minimize([tensor], lambda step, t=tensor: t[0].sum() + t[1].sum(), schedule)
        paths[average] = float(tensor[0])
    assert paths[1e-9] < 1.3 * paths[1.0] < 0


def test_rate_rises_linearly_over_the_first_steps_and_then_falls(monkeypatch):
    """Warm-up takes a twentieth of the steps; the half cosine falls from the start."""
    rates = []

    class Recorded(torch.optim.AdamW):
        def step(self, closure=None):
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    monkeypatch.setattr(torch.optim, "AdamW", Recorded)
    layers = new_layers([1, 1], 1, generator())
    schedule = Schedule(steps=100, batch=1, rate=0.1, weight_decay=0.0, average=0.1)
    minimize(layers, lambda step: layers[0][0].sum(), schedule)
    cosine = [0.05 * (1 + math.cos(math.pi * step / 100)) for step in range(100)]
    warm = [0.2, 0.4, 0.6, 0.8, 1.0]
    assert rates == pytest.approx(
        [share * rate for share, rate in zip(warm + [1.0] * 95, cosine, strict=True)]
    )


def test_weights_decay():
    norms = {}
    for decay in (0.0, 5.0):
        layers = new_layers([4, 4], 1, generator())
        minimize(
            layers,
            lambda step, t=layers: 0 * t[0][0].sum() + 0 * t[0][1].sum(),
            Schedule(steps=50, batch=1, rate=0.01, weight_decay=decay, average=0.1),
        )
        norms[decay] = float(layers[0][0].norm())
    assert norms[5.0] < 0.6 * norms[0.0]
