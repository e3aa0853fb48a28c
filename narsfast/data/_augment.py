"""Training crops, mirroring and augmentation policies, each keyed by (seed, epoch, sample)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ._dataset import Preprocess
from ._random import Purpose, random_bits, uniforms

POLICIES = ("randaugment", "autoaugment")
"""Augmentations beyond cropping, by torchvision.transforms.v2."""


def training_crops(
    sizes: NDArray[np.int64], samples: NDArray[np.int64], preprocess: Preprocess, seed: int, epoch: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Random resized crops: area uniform, ratio log-uniform, position uniform.

    A side longer than the image's is cut to it (torchvision draws again instead; one draw keeps this a
    function of the sample alone).

    Args:
        sizes: (b, 2) heights and widths.
        samples: (b,) indices of the images in their split.
        preprocess: ranges of area and ratio, and whether to mirror.
        seed: of the trial.
        epoch: counted from 0.

    Returns:
        (b, 4) float64 boxes (left, top, right, bottom) in pixels, and (b,) bool: mirror it.
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


def centre_crops(sizes: NDArray[np.int64], preprocess: Preprocess) -> NDArray[np.float64]:
    """(b, 4) boxes of the centred squares that evaluation sees."""
    side = sizes.min(axis=1, keepdims=True) * preprocess.evaluation_crop
    corner = (sizes[:, ::-1] - side) / 2
    return np.concatenate([corner, corner + side], axis=1)


@lru_cache(maxsize=8)
def _policy(name: str, fill: tuple[int, ...]) -> Any:
    from torchvision.transforms import v2

    bilinear = v2.InterpolationMode.BILINEAR
    if name == "randaugment":
        return v2.RandAugment(interpolation=bilinear, fill=list(fill))
    return v2.AutoAugment(interpolation=bilinear, fill=list(fill))


def apply_policy(
    images: list[Image.Image],
    policy: str,
    samples: NDArray[np.int64],
    preprocess: Preprocess,
    *,
    seed: int,
    epoch: int,
) -> list[Image.Image]:
    """RandAugment (2 operations, magnitude 9) or AutoAugment (ImageNet's policy), torchvision's defaults.

    The transforms draw from torch's global generator; it is seeded for each sample and restored afterwards.
    Empty corners are filled with the mean colour.
    """
    transform = _policy(policy, tuple(round(255 * value) for value in preprocess.mean))
    seeds = random_bits(Purpose.POLICY, seed, epoch, samples) >> np.uint64(1)
    results = []
    with torch.random.fork_rng(devices=[]):
        for image, sample_seed in zip(images, seeds, strict=True):
            torch.default_generator.manual_seed(int(sample_seed))
            results.append(transform(image))
    return results
