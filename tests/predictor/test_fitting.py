import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from narsfast.predictor import _fitting
from narsfast.predictor._fitting import ORDER_SLOPE, fit_members
from narsfast.predictor._network import copy_layers


def fit(world, rows, labels=None):
    inputs, percent = world.pretrained.learning_set(world.genes, world.labels if labels is None else labels)
    fitted = fit_members(
        world.pretrained.encoder, (16,), inputs, percent, rows, torch.Generator().manual_seed(0)
    )
    outputs = fitted.outputs(inputs)
    expanded = torch.where(outputs < -1, -torch.exp(-1 - outputs), outputs)
    return fitted, (fitted.center[:, None] + fitted.scale[:, None] * expanded).numpy()


def outputs_of(world, labels):
    """Of two members that learned the first 40 labels, (2, n)."""
    fitted, _ = fit(world, [torch.arange(40)] * 2, labels)
    return fitted.outputs(world.pretrained.learning_set(world.genes, world.labels)[0]).numpy()


def test_the_pretrained_encoder_is_left_as_it_was_and_trained_on_in_a_copy(world):
    before = copy_layers(world.pretrained.encoder)
    fitted, _ = fit(world, [torch.arange(40)] * 2)
    for (w, _), (old, _), (new, _) in zip(world.pretrained.encoder, before, fitted.encoder, strict=True):
        assert torch.equal(w, old)
        assert not torch.equal(w, new)


def test_every_member_learns_from_its_rows_only(world):
    """Two folds at once: labels of rows that a member does not have leave no trace in it."""
    mine, others = torch.arange(40), torch.arange(40, 80)
    changed = world.labels.copy()
    changed[40:80] += 30
    _, before = fit(world, [mine, mine, others, others])
    _, after = fit(world, [mine, mine, others, others], changed)
    np.testing.assert_array_equal(before[:2], after[:2])
    assert (after[2:] - before[2:]).mean() > 20


def test_the_loss_is_linear_for_outliers(world):
    """Two of forty labels fall to chance: held-out candidates are still ranked well."""
    spoilt = world.labels.copy()
    spoilt[[3, 17]] = 10.0
    held_out = slice(100, None)
    _, clean = fit(world, [torch.arange(40)] * 2)
    _, dirty = fit(world, [torch.arange(40)] * 2, spoilt)
    taus = [kendalltau(p[:, held_out].mean(axis=0), world.labels[held_out]).statistic for p in (clean, dirty)]
    assert taus[0] > 0.6
    assert taus[1] > taus[0] - 0.15


def test_constant_labels_are_predicted(world):
    _, predicted = fit(world, [torch.arange(12)] * 2, np.full_like(world.labels, 43.0))
    np.testing.assert_allclose(predicted[:, :12], 43, atol=0.5)


def test_one_label_is_enough(world):
    _, predicted = fit(world, [torch.arange(1)] * 2)
    assert np.isfinite(predicted).all()
    np.testing.assert_allclose(predicted[:, 0], world.labels[0], atol=0.5)


def test_the_encoder_is_frozen_first_and_the_head_learns_meanwhile(world, monkeypatch):
    monkeypatch.setattr(_fitting, "WHOLE", replace(_fitting.WHOLE, steps=1, rate=0.0))
    fitted, predicted = fit(world, [torch.arange(40)] * 2)
    for (w, b), (new_w, new_b) in zip(world.pretrained.encoder, fitted.encoder, strict=True):
        assert torch.equal(w, new_w)
        assert torch.equal(b, new_b)
    assert kendalltau(predicted[:, 100:].mean(axis=0), world.labels[100:]).statistic > 0.5


def test_everything_is_trained_at_a_lower_rate():
    assert 0 < _fitting.WHOLE.rate < _fitting.FROZEN.rate


@pytest.mark.parametrize("labels", [1, 40, 400, 600])
def test_more_labels_are_learned_longer(world, monkeypatch, labels):
    schedules = []
    monkeypatch.setattr(_fitting, "minimize", lambda layers, loss, schedule: schedules.append(schedule))
    fit(world, [torch.arange(600), torch.arange(labels)])
    assert schedules == [
        _fitting.FROZEN,
        replace(_fitting.WHOLE, steps={400: 600, 600: 800}.get(labels, 400)),
    ]


def test_the_unit_of_labels_does_not_matter(world):
    outputs = outputs_of(world, world.labels.astype(np.float32))
    np.testing.assert_array_equal(outputs_of(world, world.labels.astype(np.float32) / 64), outputs)
    for factor, shift in ((10, 0), (0.01, 0), (1, -70), (1e-3, 5)):
        other = outputs_of(world, factor * world.labels + shift)
        np.testing.assert_allclose(other, outputs, atol=0.05)
        assert kendalltau(other.mean(axis=0), outputs.mean(axis=0)).statistic > 0.99


def order_loss(output, wanted):
    return float(_fitting._order_loss(torch.tensor([output]), torch.tensor([wanted])))


def test_pairs_in_wrong_order_cost():
    """Each pair counts twice among the n * n; a pair in order by a difference d costs log(1 + exp(-slope * d))."""
    wanted = [0.0, 1.0]
    assert order_loss([0.5, 0.5], wanted) == pytest.approx(math.log(2) / 2)
    assert order_loss([0.0, 0.8], wanted) == pytest.approx(math.log1p(math.exp(-ORDER_SLOPE * 0.8)) / 2)
    assert order_loss([0.8, 0.0], wanted) == pytest.approx(math.log1p(math.exp(ORDER_SLOPE * 0.8)) / 2)
    assert order_loss([3.0, -4.0, 3.5, 9.0], [0.0, 1.0, 2.0, 3.0]) > order_loss(
        [-4.0, 3.0, 3.5, 9.0], [0.0, 1.0, 2.0, 3.0]
    )


def test_equal_labels_have_no_order():
    assert order_loss([5.0, -5.0, 0.0], [2.0, 2.0, 2.0]) == 0
    assert order_loss([5.0, -5.0, 7.0], [2.0, 2.0, 3.0]) == order_loss([-5.0, 5.0, 7.0], [2.0, 2.0, 3.0])


def test_the_order_is_learned(world, monkeypatch):
    """With the loss of order alone the ranks are learned, and the level is not."""
    monkeypatch.setattr(_fitting, "huber_loss", lambda output, wanted, delta: 0 * output.mean())
    outputs = outputs_of(world, world.labels).mean(axis=0)
    assert kendalltau(outputs[:40], world.labels[:40]).statistic > 0.8
    assert kendalltau(outputs[100:], world.labels[100:]).statistic > 0.5
