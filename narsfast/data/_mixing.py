"""Mixing the images of a batch with each other: mixup and CutMix."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor, lerp

from ._random import Purpose, hash_seed, uniforms


def mixed(
    images: Tensor, targets: Tensor, *, mixup: float, cutmix: float, seed: int, step: int
) -> tuple[Tensor, Tensor]:
    """Mix each image, and its target, with another one of the batch.

    The other one is the image at the same place from the batch's end. Mixup (Zhang et al., ICLR 2018) blends
    whole images; CutMix (Yun et al., ICCV 2019) pastes a rectangle of the other one. Where both are on, each batch
    gets one of them, with equal chances. All draws are functions of (seed, step).

    Args:
        images: (b, channels, height, width) float, on any device.
        targets: Shares of the classes, (b, classes) float, on the same device.
        mixup: Alpha of the Beta(alpha, alpha) that the blend is drawn from, once per batch; 0 is off.
        cutmix: The same for the share of the area that an image keeps.
        seed: Of the trial.
        step: Counted over the whole training.

    Returns:
        New images and targets of the same shapes; the given ones where both are off.
    """
    if cutmix > 0 and (mixup <= 0 or uniforms(1, Purpose.MIXING, seed, step)[0, 0] < 0.5):
        return _pasted(images, targets, cutmix, np.random.Philox(hash_seed(Purpose.CUTMIX, seed, step)))
    if mixup > 0:
        generator = np.random.Generator(np.random.Philox(hash_seed(Purpose.MIXUP, seed, step)))
        share = float(generator.beta(mixup, mixup))
        return lerp(images.flip(0), images, share), lerp(targets.flip(0), targets, share)
    return images, targets


def _pasted(
    images: Tensor, targets: Tensor, alpha: float, bits: np.random.BitGenerator
) -> tuple[Tensor, Tensor]:
    """Apply CutMix: the rectangle's center is uniform; its part outside the image does not count as area."""
    generator = np.random.Generator(bits)
    side = math.sqrt(1.0 - float(generator.beta(alpha, alpha)))
    (top, bottom), (left, right) = (
        _overlap(length, side, float(generator.random())) for length in images.shape[-2:]
    )
    pasted = images.clone()
    pasted[..., top:bottom, left:right] = images.flip(0)[..., top:bottom, left:right]
    share = 1.0 - (bottom - top) * (right - left) / (images.shape[-2] * images.shape[-1])
    return pasted, lerp(targets.flip(0), targets, share)


def _overlap(length: int, side: float, center: float) -> tuple[int, int]:
    """Return start and stop of the pixels within `side` times `length` around `center` times `length`."""
    half = side * length / 2
    return max(0, round(center * length - half)), min(length, round(center * length + half))
