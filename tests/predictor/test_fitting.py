import numpy as np
import torch
from scipy.stats import kendalltau

from narsfast.predictor._fitting import fit_members
from narsfast.predictor._network import copy_layers


def fit(world, rows, labels=None):
    inputs, percent = world.pretrained.learning_set(world.genes, world.labels if labels is None else labels)
    fitted = fit_members(
        world.pretrained.encoder, (16,), inputs, percent, rows, torch.Generator().manual_seed(0)
    )
    return fitted, fitted.predict(inputs).numpy()


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
