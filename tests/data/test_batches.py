import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from narsfast.common.preparation import Preparation
from narsfast.data import AUGMENTATIONS, Augmentation, Preprocess, Split, batches, load_data, steps_per_epoch
from narsfast.data._augment import center_crops, training_crops
from narsfast.data._dataset import CachedImages

PHOTO = Preprocess(3, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3), area=(0.35, 1.0), evaluation_crop=0.875)


def color_split(n=24, height=40, width=50, preprocess=PHOTO):
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (n, 5, 5, 3), dtype=np.uint8)
    pixels = [np.asarray(Image.fromarray(s).resize((width, height), Image.Resampling.BICUBIC)) for s in small]
    return Split("train", np.arange(n) % 3, CachedImages(pixels), preprocess)


def by_sample(split, **options):
    """Sample -> its training image; the label tells the sample."""
    unique = dataclasses.replace(split, labels=np.arange(len(split)))
    images = {}
    for x, y in batches(unique, 24, options.pop("batch_size", 4), training=True, **options):
        images.update(zip(y.tolist(), x, strict=True))
    return images


@pytest.mark.parametrize("kind", AUGMENTATIONS)
@pytest.mark.parametrize("name", ["color", "digits"])
def test_training_batches_have_their_shape_type_and_layout(name, kind):
    split = color_split() if name == "color" else load_data("digits").val
    x, y = next(iter(batches(split, 24, 8, training=True, augmentation=Augmentation(kind))))
    assert x.shape == (8, split.preprocess.in_chans, 24, 24)
    assert (x.dtype, y.dtype) == (torch.float32, torch.int64)
    assert x.stride()[1] == 1
    assert x.isfinite().all()


@pytest.mark.parametrize("kind", AUGMENTATIONS)
def test_augmentation_is_a_function_of_seed_epoch_and_sample(kind):
    split, augmentation = color_split(), Augmentation(kind)
    torch.manual_seed(1)
    first = by_sample(split, seed=3, epoch=2, augmentation=augmentation, batch_size=4)
    torch.manual_seed(2)
    again = by_sample(split, seed=3, epoch=2, augmentation=augmentation, batch_size=6)
    assert all(first[i].equal(again[i]) for i in range(24))
    for options in ({"seed": 4, "epoch": 2}, {"seed": 3, "epoch": 3}):
        other = by_sample(split, augmentation=augmentation, **options)
        same = sum(first[i].equal(other[i]) for i in range(24))
        assert same == 24 if kind == "none" else same < 12


@pytest.mark.parametrize("kind", ["randaugment", "autoaugment", "trivialaugment"])
def test_policies_change_images_and_leave_the_global_generator_alone(kind):
    split = color_split()
    state = torch.get_rng_state()
    plain = by_sample(split)
    policy = by_sample(split, augmentation=Augmentation(kind))
    assert torch.get_rng_state().equal(state)
    assert sum(not plain[i].equal(policy[i]) for i in range(24)) > 12


def changed_by(augmentation):
    """How many of 24 images an augmentation changes beyond the crop."""
    plain, other = by_sample(color_split()), by_sample(color_split(), augmentation=augmentation)
    return sum(not plain[i].equal(other[i]) for i in range(24))


@pytest.mark.parametrize("kind", ["autoaugment", "trivialaugment"])
def test_strength_of_a_policy_with_its_own_magnitudes_is_the_share_of_images(kind):
    def changed(strength):
        return changed_by(Augmentation(kind, strength))

    assert changed(0) == 0
    assert 3 <= changed(15) < changed(30)
    assert changed(30) == changed(None)


def test_strength_of_randaugment_is_its_magnitude():
    images = {
        strength: by_sample(color_split(), augmentation=Augmentation("randaugment", strength))
        for strength in (None, 9, 30)
    }
    assert all(images[None][i].equal(images[9][i]) for i in range(24))
    plain = by_sample(color_split())
    far, near = ([float((images[s][i] - plain[i]).abs().mean()) for i in range(24)] for s in (30, 9))
    assert np.mean(far) > 1.2 * np.mean(near)


@pytest.mark.parametrize("option", [{"color": 0.4}, {"erasing": 0.5}])
@pytest.mark.parametrize("kind", ["none", "crop", "randaugment"])
def test_color_and_erasing_combine_with_every_augmentation(kind, option):
    split, augmentation = color_split(), Augmentation(kind, **option)
    state = torch.get_rng_state()
    first = by_sample(split, augmentation=augmentation, seed=3, epoch=2)
    again = by_sample(split, augmentation=augmentation, seed=3, epoch=2, batch_size=6)
    assert torch.get_rng_state().equal(state)
    without = by_sample(split, augmentation=Augmentation(kind), seed=3, epoch=2)
    assert all(first[i].equal(again[i]) for i in range(24))
    assert sum(not first[i].equal(without[i]) for i in range(24)) > 6
    for key in ({"seed": 4, "epoch": 2}, {"seed": 3, "epoch": 3}):
        other = by_sample(split, augmentation=augmentation, **key)
        assert sum(first[i].equal(other[i]) for i in range(24)) < 12


def test_evaluation_is_never_augmented():
    split = color_split()
    (plain, _), *_ = batches(split, 24, 24)
    (given, _), *_ = batches(split, 24, 24, augmentation=Augmentation("randaugment", color=1.0, erasing=1.0))
    assert given.equal(plain)


def test_order_changes_with_epoch_and_seed_and_visits_all():
    split = load_data("digits").val
    orders = []
    for seed, epoch in ((0, 0), (0, 1), (1, 0)):
        unique = dataclasses.replace(split, labels=np.arange(len(split)))
        orders.append(
            torch.cat([y for _, y in batches(unique, 8, 10, seed=seed, epoch=epoch, training=True)]).tolist()
        )
        assert len(set(orders[-1])) == len(orders[-1]) == 350
    assert orders[0] != orders[1]
    assert orders[0] != orders[2]


def test_incomplete_last_batch_is_left_out_in_training():
    split = load_data("digits").val
    assert [len(y) for _, y in batches(split, 8, 100)] == [100, 100, 100, 59]
    assert [len(y) for _, y in batches(split, 8, 100, training=True)] == [100, 100, 100]
    assert [len(y) for _, y in batches(split, 8, 1000, training=True)] == [359]
    assert [steps_per_epoch(split, b) for b in (100, 1000)] == [3, 1]


def test_evaluation_images_are_normalized_center_crops():
    split = color_split(height=40, width=60)
    (x, y), *_ = batches(split, 20, 24)
    image = split.images.read(np.array([5]))[0]
    expected = image.crop((12, 2, 48, 38)).resize(
        (20, 20), Image.Resampling.BILINEAR
    )  # 0.875 * 40 = 35, about 36
    plain = np.asarray(expected, dtype=np.float32) / 255
    restored = x[5].permute(1, 2, 0).numpy() * np.array(PHOTO.std) + np.array(PHOTO.mean)
    assert np.abs(restored - plain).mean() < 0.02
    assert y.tolist() == split.labels.tolist()


@pytest.mark.parametrize("crop", [1.0, 0.875])
def test_center_crops_are_centered_squares(crop):
    boxes = center_crops(np.array([[40, 60], [50, 30]]), dataclasses.replace(PHOTO, evaluation_crop=crop))
    sides = boxes[:, 2:] - boxes[:, :2]
    np.testing.assert_allclose(sides, crop * np.array([[40, 40], [30, 30]]))
    np.testing.assert_allclose((boxes[:, :2] + boxes[:, 2:]) / 2, [[30, 20], [15, 25]])


def test_evaluation_cache_is_not_shared_between_resolutions():
    split = color_split()
    for resolution in (8, 16, 8, 24, 32, 40, 8):
        x, _ = next(iter(batches(split, resolution, 4)))
        assert x.shape[-1] == resolution


def test_training_crops_keep_their_ranges_and_mirror_half():
    sizes = np.tile([[60, 60]], (4000, 1))
    boxes, mirrored = training_crops(sizes, np.arange(4000), PHOTO, seed=0, epoch=0)
    assert (boxes >= 0).all()
    assert (boxes <= 60 + 1e-9).all()
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    area = width * height / 3600
    whole = (width < 60 - 1e-9) & (height < 60 - 1e-9)  # not cut to the image
    assert (area <= 1 + 1e-9).all()
    assert area[whole].min() >= 0.35
    assert area.min() < 0.4
    assert area.max() > 0.9
    assert 3 / 4 - 1e-9 <= (width / height).min() < 0.8
    assert 1.25 < (width / height).max() <= 4 / 3 + 1e-9
    assert abs(mirrored.mean() - 0.5) < 0.03
    assert abs(boxes[:, 0].mean() - (60 - boxes[:, 2]).mean()) < 0.5


def test_nothing_is_mirrored_where_that_changes_the_class():
    sizes = np.tile([[32, 32]], (100, 1))
    _, mirrored = training_crops(sizes, np.arange(100), dataclasses.replace(PHOTO, mirror=False), 0, 0)
    assert not mirrored.any()


def test_mirrored_images_are_mirrored():
    whole = dataclasses.replace(PHOTO, area=(1.0, 1.0), ratio=(1.0, 1.0), evaluation_crop=1.0)
    split = color_split(height=40, width=40, preprocess=whole)
    images = by_sample(split, seed=1)
    (plain, _), *_ = batches(split, 24, 24)
    _, mirrored = training_crops(split.images.sizes, np.arange(24), whole, seed=1, epoch=0)
    assert 4 < mirrored.sum() < 20
    for i in range(24):
        assert images[i].equal(plain[i].flip(2) if mirrored[i] else plain[i])


def prepared(split, **fields):
    preparation = Preparation((0.5,) * 3, (0.5,) * 3, **fields)
    return dataclasses.replace(split, preprocess=split.preprocess.prepared(preparation))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_evaluation_is_that_of_torchvision(interpolation):
    """Resized and cropped by torchvision, which rounds the sides of the crop: of squares there is nothing to round."""
    split = prepared(color_split(6, 64, 64), interpolation=interpolation, crop=0.875)
    found, _ = next(batches(split, 28, 6))
    steps = [v2.Resize(32, v2.InterpolationMode(interpolation)), v2.CenterCrop(28)]
    images = split.images.read(np.arange(6))
    expected = [np.asarray(v2.Compose(steps)(image)) for image in images]
    pixels = (found * 0.5 + 0.5).mul(255).permute(0, 2, 3, 1).numpy()
    assert np.abs(pixels - np.stack(expected)).max() < 1.01


def test_preparations_of_several_networks_share_the_images_and_mix_no_pixels():
    split = color_split(6)
    own, cubic, cropped = split, prepared(split, interpolation="bicubic"), prepared(split, crop=0.5)
    first = [next(batches(s, 24, 6))[0] for s in (own, cubic, cropped)]
    again = [next(batches(s, 24, 6))[0] for s in (cropped, cubic, own)][::-1]
    assert all(a.equal(b) for a, b in zip(first, again, strict=True))
    bilinear = next(batches(prepared(split, crop=0.875), 24, 6))[0]
    assert not first[1].allclose(bilinear, atol=1e-2)
    assert own.images is cubic.images


def test_training_crops_are_resized_as_the_network_wants():
    split = color_split()
    linear, cubic = by_sample(prepared(split)), by_sample(prepared(split, interpolation="bicubic"))
    differences = [(linear[i] - cubic[i]).abs().mean() for i in range(24)]
    assert 0 < max(differences) < 0.2
