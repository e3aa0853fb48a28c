"""Training crops, mirroring, augmentation policies, color jitter and erasing, each keyed by (seed, epoch, sample)."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from narsfast.common.images import center_boxes

from ._augmentation import STRENGTHS, Augmentation
from ._dataset import Preprocess
from ._random import Purpose, random_bits, uniforms

ERASED_AREA = (0.02, 1 / 3)
"""Smallest and largest share of an image's area that is erased (Zhong et al., AAAI 2020; torchvision's too)."""

ERASED_RATIO = (0.3, 1 / 0.3)
"""Smallest and largest height / width of the erased rectangle (the same)."""


def training_crops(
    sizes: NDArray[np.int64], samples: NDArray[np.int64], preprocess: Preprocess, seed: int, epoch: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Draw random resized crops: area uniform, ratio log-uniform, position uniform.

    A side longer than the image's is cut to it (torchvision draws again instead; a single draw makes the crop a
    function of the sample alone).

    Args:
        sizes: (b, 2) heights and widths.
        samples: (b,) indices of the images in their split.
        preprocess: Ranges of area and ratio, and whether to mirror.
        seed: Of the trial.
        epoch: Counted from 0.

    Returns:
        (b, 4) float64 boxes (left, top, right, bottom) in pixels, and (b,) bool: whether to mirror.
    """
    draws = uniforms(5, Purpose.CROP, seed, epoch, samples)
    height, width = sizes[:, 0].astype(np.float64), sizes[:, 1].astype(np.float64)
    smallest, largest = preprocess.area
    area = height * width * (smallest + (largest - smallest) * draws[:, 0])
    low, high = np.log(preprocess.ratio)
    ratio = np.exp(low + (high - low) * draws[:, 1])
    crop_width = np.minimum(np.sqrt(area * ratio), width)
    crop_height = np.minimum(np.sqrt(area / ratio), height)
    left = (width - crop_width) * draws[:, 2]
    top = (height - crop_height) * draws[:, 3]
    boxes = np.stack([left, top, left + crop_width, top + crop_height], axis=1)
    return boxes, (draws[:, 4] < 0.5) & preprocess.mirror


def center_crops(sizes: NDArray[np.int64], preprocess: Preprocess) -> NDArray[np.float64]:
    """Return the (b, 4) boxes of the centered squares that evaluation sees."""
    return center_boxes(sizes, preprocess.evaluation_crop)


def apply_policy(
    images: list[Image.Image],
    augmentation: Augmentation,
    samples: NDArray[np.int64],
    preprocess: Preprocess,
    *,
    seed: int,
    epoch: int,
) -> list[Image.Image]:
    """Apply RandAugment (2 operations), AutoAugment (ImageNet's policy) or TrivialAugment (wide), by torchvision.

    Empty corners are filled with the mean color.

    Args:
        images: Of the batch, after cropping.
        augmentation: A policy and its strength.
        samples: (b,) indices of the images in their split.
        preprocess: The mean color.
        seed: Of the trial.
        epoch: Counted from 0.
    """
    policy, strength = augmentation.kind, augmentation.policy_strength
    fill = mean_color(preprocess)
    keys = (seed, epoch, samples)
    if policy == "randaugment":
        return _seeded(images, _rand_augment(strength, fill), Purpose.POLICY, *keys)
    changed = uniforms(1, Purpose.POLICY_SHARE, *keys)[:, 0] < strength / STRENGTHS
    return _seeded(images, _policy(policy, fill), Purpose.POLICY, *keys, only=changed)


def apply_color(
    images: list[Image.Image], strength: float, samples: NDArray[np.int64], *, seed: int, epoch: int
) -> list[Image.Image]:
    """Multiply brightness, contrast and saturation, in random order, each by 1 - strength to 1 + strength.

    Hue is left alone: it often tells classes apart. Gray images have no saturation.
    """
    return _seeded(images, _jitter(strength), Purpose.COLOR, seed, epoch, samples)


def erase(
    pixels: NDArray[np.uint8],
    probability: float,
    samples: NDArray[np.int64],
    preprocess: Preprocess,
    *,
    seed: int,
    epoch: int,
) -> None:
    """Fill a random rectangle (`erased_rectangles`) with the mean color, in place.

    Args:
        pixels: (b, side, side, channels) uint8.
        probability: Of an image to lose a rectangle.
        samples: (b,) indices of the images in their split.
        preprocess: The mean color.
        seed: Of the trial.
        epoch: Counted from 0.
    """
    corners, sizes = erased_rectangles(probability, samples, pixels.shape[1], seed=seed, epoch=epoch)
    fill = np.array(mean_color(preprocess), np.uint8)
    for image, (top, left), (rows, columns) in zip(pixels, corners, sizes, strict=True):
        image[top : top + rows, left : left + columns] = fill


def erased_rectangles(
    probability: float, samples: NDArray[np.int64], resolution: int, *, seed: int, epoch: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw what `erase` erases of square images: area uniform, ratio log-uniform, position uniform.

    A side longer than the image's is cut to it.

    Args:
        probability: Of an image to lose a rectangle.
        samples: (b,) indices of the images in their split.
        resolution: Side of the images, pixels.
        seed: Of the trial.
        epoch: Counted from 0.

    Returns:
        Top left corners, and heights and widths, both (b, 2) pixels; sizes are 0 where nothing is erased.
    """
    draws = uniforms(5, Purpose.ERASING, seed, epoch, samples)
    smallest, largest = ERASED_AREA
    area = resolution**2 * (smallest + (largest - smallest) * draws[:, 1])
    low, high = np.log(ERASED_RATIO)
    ratio = np.exp(low + (high - low) * draws[:, 2])
    sizes = np.clip(np.rint(np.sqrt(np.stack([area * ratio, area / ratio], axis=1))), 1, resolution)
    corners = np.floor((resolution - sizes + 1) * draws[:, 3:5])
    sizes[draws[:, 0] >= probability] = 0
    return corners.astype(np.int64), sizes.astype(np.int64)


def mean_color(preprocess: Preprocess) -> tuple[int, ...]:
    """Return the mean of the training pixels, 0 to 255 per channel, which normalization turns into 0."""
    return tuple(round(255 * value) for value in preprocess.mean)


def _seeded(
    images: list[Image.Image],
    transform: Callable[[Image.Image], Image.Image],
    purpose: Purpose,
    seed: int,
    epoch: int,
    samples: NDArray[np.int64],
    only: NDArray[np.bool_] | None = None,
) -> list[Image.Image]:
    """Transform the images, or only those where `only` is true.

    The transforms draw from torch's global generator, which is seeded for each sample and restored afterwards.
    """
    seeds = random_bits(purpose, seed, epoch, samples) >> np.uint64(1)
    results = list(images)
    with torch.random.fork_rng(devices=[]):
        for index in range(len(images)) if only is None else np.flatnonzero(only):
            torch.default_generator.manual_seed(int(seeds[index]))
            results[index] = transform(images[index])
    return results


@lru_cache(maxsize=8)
def _rand_augment(magnitude: int, fill: tuple[int, ...]) -> Any:
    from torchvision.transforms import v2

    return v2.RandAugment(magnitude=magnitude, interpolation=v2.InterpolationMode.BILINEAR, fill=list(fill))


@lru_cache(maxsize=8)
def _policy(name: str, fill: tuple[int, ...]) -> Any:
    from torchvision.transforms import v2

    make = v2.AutoAugment if name == "autoaugment" else v2.TrivialAugmentWide
    return make(interpolation=v2.InterpolationMode.BILINEAR, fill=list(fill))


@lru_cache(maxsize=8)
def _jitter(strength: float) -> Any:
    from torchvision.transforms import v2

    return v2.ColorJitter(brightness=strength, contrast=strength, saturation=strength)
