"""The recipe field class_balance: weights of the loss, and trainings with it."""

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

from narsfast.arch import NetworkSpec
from narsfast.data import Split, mixed
from narsfast.space import Recipe
from narsfast.training import TrainerSettings, class_weights, distilled_loss, train
from narsfast.training._class_balance import cross_entropy, weighted

LABELS = np.repeat(np.arange(4), (40, 7, 2, 1))


def test_weights_are_inverse_frequencies_with_a_mean_of_one():
    weights = class_weights(LABELS, 4)
    wanted = compute_class_weight("balanced", classes=np.arange(4), y=LABELS)
    assert weights.tolist() == pytest.approx(wanted)
    assert float(weights[LABELS].mean()) == pytest.approx(1)
    for label in range(4):
        assert float(weights[LABELS[label == LABELS]].sum()) == pytest.approx(len(LABELS) / 4)


def test_class_without_images_has_no_part():
    weights = class_weights(LABELS + 1, 6)
    assert (weights[0], weights[5]) == (0, 0)
    assert float(weights[LABELS + 1].mean()) == pytest.approx(1)


@pytest.mark.parametrize("mixing", [{"mixup": 0.4, "cutmix": 0.0}, {"mixup": 0.0, "cutmix": 0.7}])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_loss_of_a_mixed_image_is_the_blend_of_weighted_losses(mixing, smoothing):
    generator = torch.Generator().manual_seed(3)
    labels = torch.tensor([0, 1, 2, 3, 0, 3])
    images, logits = torch.rand(6, 1, 8, 8, generator=generator), torch.randn(6, 4, generator=generator)
    weights = class_weights(LABELS, 4)
    targets = mixed(images, functional.one_hot(labels, 4).float(), **mixing, seed=1, step=2)[1]
    kept = targets[0, 0]  # image 0 is blended with image 5, of another class
    assert 0 < kept < 1
    losses = [
        functional.cross_entropy(logits, own, label_smoothing=smoothing, reduction="none") * weights[own]
        for own in (labels, labels.flip(0))
    ]
    wanted = (kept * losses[0] + (1 - kept) * losses[1]).mean()
    shares, counts = weighted(targets, weights)
    torch.testing.assert_close(cross_entropy(logits, shares, smoothing, counts), wanted)
    torch.testing.assert_close(shares.sum(1), torch.ones(6))


def test_unmixed_images_count_by_the_weight_of_their_class():
    labels = torch.tensor([0, 1, 2, 3])
    shares, counts = weighted(functional.one_hot(labels, 4).float(), class_weights(LABELS, 4))
    assert shares.equal(torch.eye(4))
    torch.testing.assert_close(counts, class_weights(LABELS, 4))


def test_both_parts_of_a_distilled_loss_are_weighted():
    generator = torch.Generator().manual_seed(5)
    logits, teacher = (torch.randn(3, 4, generator=generator) for _ in range(2))
    targets, counts = torch.eye(4)[[0, 2, 3]], torch.tensor([0.25, 1.0, 4.0])
    options = {"label_smoothing": 0.1, "weight": 0.7, "temperature": 2.0}
    each = torch.stack(
        [
            distilled_loss(logits[i : i + 1], targets[i : i + 1], teacher[i : i + 1], **options)
            for i in range(3)
        ]
    )
    found = distilled_loss(logits, targets, teacher, **options, counts=counts)
    torch.testing.assert_close(found, (each * counts).mean())
    same = distilled_loss(logits, targets, teacher, **options, counts=torch.ones(3))
    torch.testing.assert_close(same, distilled_loss(logits, targets, teacher, **options))


@pytest.fixture(scope="module")
def rare(few_digits):
    """Digits to train on of which 0 has all its images, and every other has two."""
    split = few_digits.train
    kept = [np.flatnonzero(split.labels == label)[: None if label == 0 else 2] for label in range(10)]
    kept = np.sort(np.concatenate(kept))
    images = type(split.images)([np.asarray(image) for image in split.images.read(kept)])
    train_split = Split("train", split.labels[kept], images, split.preprocess)
    return dataclasses.replace(few_digits, train=train_split)


def run(small, data, balance, **settings):
    recipe = Recipe(
        class_balance=balance,
        optimizer="sgd",
        learning_rate=0.01,
        batch_size=12,
        ema=False,
        augmentation="none",
    )
    return train(
        NetworkSpec.of(small), recipe, data, 2, 0, keep_network=True, settings=TrainerSettings(**settings)
    )


def test_balance_changes_what_is_learned_and_is_reproducible(small, rare):
    found = {balance: run(small, rare, balance) for balance in ("none", "sampling", "loss")}
    weights = [result.network.state_dict()["head.classifier.bias"] for result in found.values()]
    plain, *balanced = weights
    assert plain[0] == plain.max()  # nearly every image is a 0
    assert all(bias[0] - bias[1:].mean() < plain[0] - plain[1:].mean() for bias in balanced)
    for balance in ("sampling", "loss"):
        again = run(small, rare, balance)
        assert (again.curve, again.losses) == (found[balance].curve, found[balance].losses)


def test_collapse_is_told_by_the_loss_of_balanced_classes(small, rare, monkeypatch):
    """A guess of one answer has a higher loss than the frequencies of the images say."""
    seen = []

    class Watch:
        def __init__(self, labels, *_, **__):
            seen.append(np.bincount(labels, minlength=10).tolist())

        def check(self, losses):
            pass

    monkeypatch.setattr("narsfast.training._loop.Divergence", Watch)
    for balance in ("none", "sampling", "loss"):
        run(small, rare, balance)
    assert seen[0][0] > 2
    assert seen[0][1:] == [2] * 9
    assert seen[1:] == [[1] * 10] * 2
