"""The order of the images in training, plain and with balanced classes."""

import numpy as np
import pytest

from narsfast.data import Augmentation, batches, dataset_from
from narsfast.data._batches import training_parts
from narsfast.data._order import balanced_samples
from narsfast.data._random import Purpose, random_bits

LABELS = np.random.default_rng(0).permutation(np.repeat([0, 1, 2, 4], [60, 25, 9, 3]))
COUNT = len(LABELS)


def balanced(labels=LABELS, batch_size=COUNT, seed=1, epoch=0, share=(0, 1)):
    return training_parts(labels, batch_size, seed, epoch, share, balanced=True)


def test_plain_order_is_that_of_every_version():
    (order,) = training_parts(LABELS, COUNT, 7, 3)
    keys = random_bits(Purpose.ORDER, 7, 3, np.arange(COUNT))
    np.testing.assert_array_equal(order, np.argsort(keys, kind="stable"))


@pytest.mark.parametrize("epoch", [0, 1, 5])
def test_every_class_has_the_same_number_of_visits(epoch):
    samples = balanced_samples(LABELS, 3, epoch)
    visits = np.bincount(LABELS[samples % COUNT], minlength=5)
    assert len(samples) == COUNT
    assert visits[3] == 0
    assert sorted(visits[[0, 1, 2, 4]]) == [24, 24, 24, 25]
    assert len(set(samples.tolist())) == COUNT  # no visit is the copy of another
    for label in (0, 1, 2, 4):
        own = np.flatnonzero(label == LABELS)
        each = np.bincount(samples % COUNT, minlength=COUNT)[own]
        assert each.max() - each.min() <= 1
        repeats = np.bincount(samples[np.isin(samples % COUNT, own)] // COUNT)
        assert (np.diff(repeats) <= 0).all()


def test_frequent_classes_have_other_images_in_every_epoch():
    def of_the_largest(epoch):
        samples = balanced_samples(LABELS, 3, epoch)
        return {int(i) for i in samples if i < COUNT and LABELS[i] == 0}

    seen = [of_the_largest(epoch) for epoch in range(12)]
    assert len(set(map(frozenset, seen))) == 12
    assert set().union(*seen) == set(np.flatnonzero(LABELS == 0))


def test_order_is_a_function_of_seed_and_epoch():
    (first,), (again,), (later,), (other,) = (
        balanced(seed=s, epoch=e) for s, e in ((1, 0), (1, 0), (1, 1), (2, 0))
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, later)
    assert not np.array_equal(first, other)
    labels = LABELS[first % COUNT]
    assert (np.diff(labels) == 0).mean() < 0.5  # classes are shuffled, not one after the other


def test_processes_share_each_batch():
    whole = balanced(batch_size=16)
    parts = [balanced(batch_size=16, share=(rank, 3)) for rank in range(3)]
    for batch, *own in zip(whole, *parts, strict=True):
        assert sorted(np.concatenate(own)) == sorted(batch)


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 0], [0, 1, 1, 1, 1]])
def test_small_and_single_classes(labels):
    labels = np.array(labels)
    samples = balanced_samples(labels, 0, 0)
    assert len(samples) == len(labels)
    assert set(labels[samples % len(labels)]) == set(labels)


@pytest.fixture(scope="module")
def unbalanced():
    random = np.random.default_rng(2)
    images = [(random.integers(0, 256, (16, 16), np.uint8), int(label)) for label in (0, 0, 0, 0, 0, 1)]
    return dataset_from(images, images, images).train


@pytest.mark.parametrize("loader", ["torchvision", "dali"])
def test_visits_of_one_image_are_augmented_on_their_own(unbalanced, loader):
    if loader == "dali":
        pytest.importorskip("nvidia.dali")
    from narsfast.data import open_loader

    options = {"seed": 1, "epoch": 2, "training": True, "balanced": True}
    augmentation = Augmentation(color=0.3, erasing=1.0)
    load = open_loader(loader).batches
    (images, labels), *rest = load(unbalanced, 16, 6, augmentation=augmentation, **options)
    assert rest == []
    assert sorted(labels.tolist()) == [0, 0, 0, 1, 1, 1]
    rare = images[labels == 1]
    assert not any(rare[i].allclose(rare[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    ((again, _),) = load(unbalanced, 16, 6, augmentation=augmentation, **options)
    assert again.equal(images)
    ((_, same),) = batches(unbalanced, 16, 6, **options)
    assert same.equal(labels)
