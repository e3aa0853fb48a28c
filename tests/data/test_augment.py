import numpy as np
import pytest
from PIL import Image

from narsfast.data import Augmentation, Preprocess
from narsfast.data._augment import ERASED_AREA, ERASED_RATIO, apply_color, apply_policy, erase, mean_color

PHOTO = Preprocess(3, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
GRAY = Preprocess(1, (0.5,), (0.2,))
KEYS = {"seed": 1, "epoch": 0}


def noise(n=300, side=40, channels=3):
    return np.random.default_rng(0).integers(130, 256, (n, side, side, channels), dtype=np.uint8)


@pytest.mark.parametrize("preprocess", [PHOTO, GRAY], ids=["rgb", "gray"])
def test_erased_rectangle_has_the_mean_color(preprocess):
    before = noise(channels=preprocess.in_chans)
    after = before.copy()
    erase(after, 1.0, np.arange(300), preprocess, **KEYS)
    fill = np.array(mean_color(preprocess))
    areas, ratios = [], []
    for old, new in zip(before, after, strict=True):
        rows, columns = np.nonzero((new != old).any(axis=2))
        box = new[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert (box == fill).all()
        outside = np.ones(old.shape[:2], bool)
        outside[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = False
        assert (new[outside] == old[outside]).all()
        areas.append(box.shape[0] * box.shape[1] / 1600)
        ratios.append(box.shape[0] / box.shape[1])
    smallest, largest = ERASED_AREA
    assert 0.5 * smallest < min(areas) < 0.05
    assert 0.3 < max(areas) < 1.1 * largest
    low, high = ERASED_RATIO
    assert 0.7 * low < min(ratios) < 0.5
    assert 2 < max(ratios) < 1.4 * high
    assert abs(np.median(ratios) - 1) < 0.25


def test_erasing_hits_its_share_of_the_images_everywhere():
    pixels = np.full((2000, 8, 8, 1), 200, np.uint8)
    erase(pixels, 0.25, np.arange(2000), GRAY, **KEYS)
    hit = (pixels != 200).any(axis=(1, 2, 3))
    assert abs(hit.mean() - 0.25) < 0.03
    where = (pixels[hit] != 200).mean(axis=0)[..., 0]
    assert where[0, 0] > 0
    assert where[-1, -1] > 0
    assert abs(where - where[::-1, ::-1]).max() < 0.08


def test_color_jitter_stays_within_its_strength():
    images = [Image.fromarray(np.full((4, 4), 100, np.uint8)) for _ in range(400)]
    jittered = apply_color(images, 0.3, np.arange(400), **KEYS)
    values = np.array([np.asarray(image)[0, 0] for image in jittered], float)
    assert values.min() >= 69  # a flat image changes by its brightness alone
    assert values.max() <= 131
    assert values.min() < 75
    assert values.max() > 125
    assert [image.mode for image in jittered[:2]] == ["L", "L"]


def test_color_jitter_leaves_the_hue_alone():
    flat = np.zeros((4, 4, 3), np.uint8)
    flat[...] = (180, 60, 60)
    jittered = apply_color([Image.fromarray(flat)] * 100, 0.4, np.arange(100), **KEYS)
    pixels = np.array([np.asarray(image)[0, 0] for image in jittered], int)
    assert (abs(pixels[:, 1] - pixels[:, 2]) <= 1).all()
    assert (pixels[:, 0] > pixels[:, 1]).all()
    assert len({tuple(pixel) for pixel in pixels}) > 50


def test_corners_emptied_by_a_policy_have_the_mean_color():
    images = [Image.fromarray(np.full((32, 32, 3), 255, np.uint8))] * 200
    policy = apply_policy(images, Augmentation("trivialaugment"), np.arange(200), PHOTO, **KEYS)
    filled = sum((np.asarray(image) == mean_color(PHOTO)).all(axis=2).any() for image in policy)
    assert filled > 20  # 5 of 14 operations move the image
