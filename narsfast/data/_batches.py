"""Batches of normalized float images: shuffled and augmented for training, in order for evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from narsfast.common.images import normalized, resized

from ._augment import apply_color, apply_policy, center_crops, erase, training_crops
from ._augmentation import CROPS, Augmentation
from ._dataset import Preprocess, Split
from ._order import balanced_samples, shuffled
from ._share import WHOLE, Share, batch_share, split_share

_EVALUATION_CACHE = 2**28  # bytes of resized evaluation images that a split keeps


def batches(
    split: Split,
    resolution: int,
    batch_size: int,
    *,
    seed: int = 0,
    epoch: int = 0,
    training: bool = False,
    augmentation: Augmentation = CROPS,
    share: Share = WHOLE,
    balanced: bool = False,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches of one pass over a split.

    Order and augmentation are functions of (seed, epoch, sample): neither the batch size nor anything drawn
    before changes what happens to an image.

    Args:
        split: The images.
        resolution: Side of the square images, pixels.
        batch_size: Images per batch.
        seed: Of the trial; read in training only.
        epoch: Counted from 0; read in training only.
        training: Whether the images are shuffled and augmented, without a last incomplete batch (the next epoch has
            another order); otherwise they are complete and in order.
        augmentation: What is done to the images; read in training only.
        share: Rank of this process and number of processes: in training it reads its part of every batch
            (`batch_share`), otherwise its part of the split (`split_share`).
        balanced: Whether an epoch has as many images of each class (`balanced_samples`); read in training only.

    Yields:
        Images, float32 (b, channels, resolution, resolution) in channels-last layout, normalized by the data
        set's mean and std; labels, int64 (b,).
    """
    n = len(split)
    if not training:
        pixels = evaluation_pixels(
            split, resolution, "torchvision", lambda part: _evaluate(split, part, resolution)
        )
        own = split_share(n, share)
        for start in range(0, len(own), batch_size):
            part = own[start : start + batch_size]
            chosen = pixels[part] if pixels is not None else _evaluate(split, part, resolution)
            yield normalize(chosen, split.preprocess), torch.from_numpy(split.labels[part])
        return
    for part in training_parts(split.labels, batch_size, seed, epoch, share, balanced):
        pixels = _augmented(split, part, resolution, augmentation, seed, epoch)
        yield normalize(pixels, split.preprocess), torch.from_numpy(split.labels[part % n])


def training_parts(
    labels: NDArray[np.int64],
    batch_size: int,
    seed: int,
    epoch: int,
    share: Share = WHOLE,
    balanced: bool = False,
) -> list[NDArray[np.int64]]:
    """Return the batches of one training pass over images with these labels, in the order of (seed, epoch).

    They are sample numbers: modulo the number of images, indices of images. A last incomplete batch is left out. With a
    `share`, each is this process's part of the batch.
    """
    count = len(labels)
    order = shuffled(balanced_samples(labels, seed, epoch) if balanced else np.arange(count), seed, epoch)
    batch_size = min(batch_size, count)
    return [
        batch_share(order[start : start + batch_size], share)
        for start in range(0, count - batch_size + 1, batch_size)
    ]


def steps_per_epoch(split: Split, batch_size: int) -> int:
    """Return the number of batches of one training pass."""
    return len(split) // min(batch_size, len(split))


def normalize(pixels: NDArray[np.uint8], preprocess: Preprocess) -> Tensor:
    """Turn pixels (b, height, width, channels) uint8 into float32 (b, channels, height, width), channels last."""
    return torch.from_numpy(normalized(pixels, preprocess.mean, preprocess.std)).permute(0, 3, 1, 2)


def _resized(
    images: list[Image.Image], boxes: NDArray[np.float64], resolution: int, preprocess: Preprocess
) -> list[Image.Image]:
    return [
        resized(image, box, resolution, preprocess.interpolation)
        for image, box in zip(images, boxes.tolist(), strict=True)
    ]


def _stacked(images: list[Image.Image], resolution: int, channels: int) -> NDArray[np.uint8]:
    pixels = np.empty((len(images), resolution, resolution, channels), dtype=np.uint8)
    for target, image in zip(pixels, images, strict=True):
        target[...] = np.asarray(image).reshape(resolution, resolution, channels)
    return pixels


def _evaluate(split: Split, part: NDArray[np.int64], resolution: int) -> NDArray[np.uint8]:
    boxes = center_crops(split.images.sizes[part], split.preprocess)
    images = _resized(split.images.read(part), boxes, resolution, split.preprocess)
    return _stacked(images, resolution, split.preprocess.in_chans)


def evaluation_pixels(
    split: Split, resolution: int, loader: str, read: Callable[[NDArray[np.int64]], NDArray[np.uint8]]
) -> NDArray[np.uint8] | None:
    """Return all evaluation images of a split, which each loader reads once; None if they are too many to keep.

    Args:
        split: The images.
        resolution: Side of the images, pixels.
        loader: Name of the loader that reads them.
        read: Returns images by index, (b, resolution, resolution, channels) uint8.
    """
    preprocess = split.preprocess
    if len(split) * resolution**2 * preprocess.in_chans > _EVALUATION_CACHE:
        return None
    key = (loader, resolution, preprocess.interpolation, preprocess.evaluation_crop)
    if key not in split._evaluation:
        if len(split._evaluation) >= 4:
            split._evaluation.pop(next(iter(split._evaluation)))
        split._evaluation[key] = read(np.arange(len(split)))
    return split._evaluation[key]


def _augmented(
    split: Split,
    part: NDArray[np.int64],
    resolution: int,
    augmentation: Augmentation,
    seed: int,
    epoch: int,
) -> NDArray[np.uint8]:
    indices = part % len(split)
    preprocess, sizes = split.preprocess, split.images.sizes[indices]
    if augmentation.crops:
        boxes, mirror = training_crops(sizes, part, preprocess, seed, epoch)
    else:
        boxes, mirror = center_crops(sizes, preprocess), np.zeros(len(part), np.bool_)
    images = _resized(split.images.read(indices), boxes, resolution, preprocess)
    if augmentation.has_policy:
        images = apply_policy(images, augmentation, part, preprocess, seed=seed, epoch=epoch)
    if augmentation.color > 0:
        images = apply_color(images, augmentation.color, part, seed=seed, epoch=epoch)
    pixels = _stacked(images, resolution, preprocess.in_chans)
    pixels[mirror] = pixels[mirror, :, ::-1]
    if augmentation.erasing > 0:
        erase(pixels, augmentation.erasing, part, preprocess, seed=seed, epoch=epoch)
    return pixels
