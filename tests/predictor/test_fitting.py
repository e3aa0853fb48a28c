import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from narsfast.predictor import _fitting
from narsfast.predictor._fitting import RANKING_SLOPE, fit_members
from narsfast.predictor._network import copy_layers


def fit(world, rows, labels=None):
    inputs, percent = world.pretrained.training_set(world.genes, world.labels if labels is None else labels)
    fitted = fit_members(
        world.pretrained.encoder, (16,), inputs, percent, rows, torch.Generator().manual_seed(0)
    )
    outputs = fitted.outputs(inputs)
    expanded = torch.where(outputs < -1, -torch.exp(-1 - outputs), outputs)
    return fitted, (fitted.center[:, None] + fitted.scale[:, None] * expanded).numpy()


def outputs_of(world, labels):
    """Return the outputs (2, n) of two ensemble members that were fitted to the first 40 labels."""
    fitted, _ = fit(world, [torch.arange(40)] * 2, labels)
    return fitted.outputs(world.pretrained.training_set(world.genes, world.labels)[0]).numpy()


def test_fit_trains_a_copy_of_the_pretrained_encoder(world):
    before = copy_layers(world.pretrained.encoder)
    fitted, _ = fit(world, [torch.arange(40)] * 2)
    for (w, _), (old, _), (new, _) in zip(world.pretrained.encoder, before, fitted.encoder, strict=True):
        assert torch.equal(w, old)
        assert not torch.equal(w, new)


def test_members_learn_from_their_own_rows_only(world):
    """Two folds are fitted at once; labels of other rows do not change a member."""
    first, second = torch.arange(40), torch.arange(40, 80)
    changed = world.labels.copy()
    changed[40:80] += 30
    _, before = fit(world, [first, first, second, second])
    _, after = fit(world, [first, first, second, second], changed)
    np.testing.assert_array_equal(before[:2], after[:2])
    assert (after[2:] - before[2:]).mean() > 20


def test_outliers_have_little_influence(world):
    """With two of forty labels at chance, held-out candidates are still ranked well."""
    spoiled = world.labels.copy()
    spoiled[[3, 17]] = 10.0
    held_out = slice(100, None)
    _, clean = fit(world, [torch.arange(40)] * 2)
    _, dirty = fit(world, [torch.arange(40)] * 2, spoiled)
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


def test_first_phase_trains_the_head_and_not_the_encoder(world, monkeypatch):
    monkeypatch.setattr(_fitting, "UNFROZEN", replace(_fitting.UNFROZEN, steps=1, rate=0.0))
    fitted, predicted = fit(world, [torch.arange(40)] * 2)
    for (w, b), (new_w, new_b) in zip(world.pretrained.encoder, fitted.encoder, strict=True):
        assert torch.equal(w, new_w)
        assert torch.equal(b, new_b)
    assert kendalltau(predicted[:, 100:].mean(axis=0), world.labels[100:]).statistic > 0.5


def test_second_phase_has_a_lower_rate():
    assert 0 < _fitting.UNFROZEN.rate < _fitting.FROZEN.rate


@pytest.mark.parametrize("labels", [1, 40, 400, 600])
def test_second_phase_is_longer_with_more_labels(world, monkeypatch, labels):
    schedules = []
    monkeypatch.setattr(_fitting, "minimize", lambda layers, loss, schedule: schedules.append(schedule))
    fit(world, [torch.arange(600), torch.arange(labels)])
    assert schedules == [
        _fitting.FROZEN,
        replace(_fitting.UNFROZEN, steps={400: 600, 600: 800}.get(labels, 400)),
    ]


def test_outputs_do_not_depend_on_the_unit_of_labels(world):
    outputs = outputs_of(world, world.labels.astype(np.float32))
    np.testing.assert_array_equal(outputs_of(world, world.labels.astype(np.float32) / 64), outputs)
    for factor, shift in ((10, 0), (0.01, 0), (1, -70), (1e-3, 5)):
        other = outputs_of(world, factor * world.labels + shift)
        np.testing.assert_allclose(other, outputs, atol=0.05)
        assert kendalltau(other.mean(axis=0), outputs.mean(axis=0)).statistic > 0.99


def ranking_loss(output, target):
    return float(_fitting._ranking_loss(torch.tensor([output]), torch.tensor([target])))


def test_ranking_loss_is_that_of_the_pairs():
    """Each pair counts twice among n * n; one ordered by a difference d has the loss log(1 + exp(-slope * d))."""
    target = [0.0, 1.0]
    assert ranking_loss([0.5, 0.5], target) == pytest.approx(math.log(2) / 2)
    assert ranking_loss([0.0, 0.8], target) == pytest.approx(math.log1p(math.exp(-RANKING_SLOPE * 0.8)) / 2)
    assert ranking_loss([0.8, 0.0], target) == pytest.approx(math.log1p(math.exp(RANKING_SLOPE * 0.8)) / 2)
    assert ranking_loss([3.0, -4.0, 3.5, 9.0], [0.0, 1.0, 2.0, 3.0]) > ranking_loss(
        [-4.0, 3.0, 3.5, 9.0], [0.0, 1.0, 2.0, 3.0]
    )


def test_equal_labels_have_no_ranking_loss():
    assert ranking_loss([5.0, -5.0, 0.0], [2.0, 2.0, 2.0]) == 0
    assert ranking_loss([5.0, -5.0, 7.0], [2.0, 2.0, 3.0]) == ranking_loss([-5.0, 5.0, 7.0], [2.0, 2.0, 3.0])


def test_ranking_loss_alone_learns_the_ranking(world, monkeypatch):
    """Without the Huber loss the ranking is learned, but not the level."""
    monkeypatch.setattr(_fitting, "huber_loss", lambda output, target, delta: 0 * output.mean())
    outputs = outputs_of(world, world.labels).mean(axis=0)
    assert kendalltau(outputs[:40], world.labels[:40]).statistic > 0.8
    assert kendalltau(outputs[100:], world.labels[100:]).statistic > 0.5
