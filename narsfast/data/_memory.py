"""Data sets that a program already has: datasets in the form of torch's become one of ours."""

from __future__ import annotations

import logging
import operator
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from narsfast.common.images import Reading, bits_used, eight_bit, smaller_size
from narsfast.errors import UserError

from ._content import DIGEST, copies, digest_of
from ._dataset import CachedImages, Dataset, Preprocess, Split
from ._decode import depth_note, usual_depth
from ._folder_options import DEEPEST, FolderOptions
from ._statistics import pixel_statistics

_log = logging.getLogger("narsfast.data")
_REPEATS = 16  # training images that are read twice, to see whether they stay the same
_SLACK = 1e-3  # how far a float pixel may be outside 0..1: resizing may leave it a little beyond


class LabeledImages(Protocol):
    """A dataset in the form of torch's (`torch.utils.data.Dataset` with a length), or a list of pairs."""

    def __len__(self) -> int:
        """Return the number of images."""

    def __getitem__(self, index: int, /) -> Any:
        """Return (image, label)."""


def dataset_from(
    train: LabeledImages,
    val: LabeledImages,
    test: LabeledImages,
    *,
    classes: Sequence[str] | None = None,
    mirror: bool = True,
    name: str = "dataset",
    resolution: int | None = None,
    bit_depth: str | int = "auto",
) -> Dataset:
    """Make a data set of three datasets that give (image, label), in the form of torch's.

    Every image is read once and kept in memory as it is; `save_dataset` writes the result to a file. Augmentation is
    the recipe's: random transforms in the datasets are refused. Mean and standard deviation are those of the training
    images, as of a folder.

    An image is a PIL image, or an array or tensor (height, width), (height, width, channels) or (channels, height,
    width) with 1 or 3 channels, uint8 or float from 0 to 1. Where both orders are possible, an array has its channels
    last and a tensor first. Where some images have color, gray ones become RGB. A label is a whole number from 0.

    Args:
        train: A dataset with a length, to train on.
        val: The same, which decides what is found.
        test: The same, which found networks are tested on, once.
        classes: Class names in the order of the labels; None takes the attribute `classes` of the datasets (or of
            those that they are subsets of), else the numbers.
        mirror: Whether a mirrored image keeps its class, so that training may mirror.
        name: Of the data.
        resolution: The largest resolution in pixels that it will be used at: larger images are shrunk to 1.5 times
            that, as those of a folder; None keeps them as they are.
        bit_depth: Bits that gray PIL images of more than 8 bits use; ``auto`` is by the largest value of all of them.

    Raises:
        UserError: An image, a label or the classes cannot be used; it says where and what would be right.
    """
    datasets = {"train": train, "val": val, "test": test}
    options = FolderOptions(bit_depth=str(bit_depth))
    asked = options.reading(resolution or 1)
    short_side = None if resolution is None else asked.short_side
    reading = Reading(short_side, bit_depth=asked.bit_depth)
    reader = _Reader(reading)
    read = {split: reader.split(split, dataset) for split, dataset in datasets.items()}
    if options.by_content and reader.bits and (depth := usual_depth(reader.bits)) < DEEPEST:
        _log.warning("%s: %s", name, depth_note("images", depth))
        reading = replace(reading, bit_depth=depth)
        reader = _Reader(reading)
        read = {split: reader.split(split, dataset) for split, dataset in datasets.items()}
    reader.check_repeats(train, read["train"][0])
    names = _classes(classes, datasets, {split: labels for split, (_, labels) in read.items()})
    channels = max(3 if image.ndim == 3 else 1 for images, _ in read.values() for image in images)
    images = {
        split: CachedImages([_with(channels, image) for image in own]) for split, (own, _) in read.items()
    }
    mean, std = pixel_statistics(images["train"], channels)
    preprocess = Preprocess(channels, mean, std, mirror, reading=reading)
    splits = [Split(split, labels, images[split], preprocess) for split, (_, labels) in read.items()]
    for note in _copies(read):
        _log.warning("%s: %s", name, note)
    return Dataset(name, names, train=splits[0], val=splits[1], test=splits[2], preprocess=preprocess)


def _copies(read: Mapping[str, tuple[list[NDArray[np.uint8]], NDArray[np.int64]]]) -> list[str]:
    """Say which images are in several splits or classes."""
    digests = [
        digest_of(repr(image.shape).encode() + image.tobytes()) for own, _ in read.values() for image in own
    ]
    return copies(
        [f"{split}[{index}]" for split, (own, _) in read.items() for index in range(len(own))],
        np.frombuffer(b"".join(digests), np.uint8).reshape(-1, DIGEST),
        np.concatenate([labels for _, labels in read.values()]),
        np.repeat(np.arange(len(read), dtype=np.int8), [len(own) for own, _ in read.values()]),
    )


def as_dataset(
    data: object, *, resolution: int | None = None, mirror: bool = True, bit_depth: str | int = "auto"
) -> Dataset:
    """Return a `Dataset` as it is, and make one of three datasets by `dataset_from`.

    Args:
        data: A `Dataset`; (train, val, test); or a mapping with these keys.
        resolution: As in `dataset_from`.
        mirror: As in `dataset_from`.
        bit_depth: As in `dataset_from`.

    Raises:
        UserError: It is none of these, or as in `dataset_from`.
    """
    if isinstance(data, Dataset):
        return data
    if isinstance(data, Mapping) and data.keys() == {"train", "val", "test"}:
        return dataset_from(**data, resolution=resolution, mirror=mirror, bit_depth=bit_depth)
    if isinstance(data, tuple | list) and len(data) == 3:
        return dataset_from(*data, resolution=resolution, mirror=mirror, bit_depth=bit_depth)
    raise UserError(
        f"data is {type(data).__name__}; give a Dataset, or three datasets (train, val, test) of (image, label)"
    )


class _Reader:
    """Reads datasets item by item, with errors that say where.

    Args:
        reading: To what side images are shrunk, and how many bits they use.

    Attributes:
        bits: That the values of images of more than 8 bits need, at most; 0 where there are none.
    """

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self.bits = 0

    def split(self, split: str, dataset: LabeledImages) -> tuple[list[NDArray[np.uint8]], NDArray[np.int64]]:
        """Return all images and labels (n,) of a split."""
        try:
            count = len(dataset)
        except TypeError:
            raise UserError(
                f"data: {split} is {type(dataset).__name__}, which has no length; give a dataset that is read by index"
            ) from None
        if not count:
            raise UserError(f"data: {split} is empty; give at least one image of each class")
        items = [self._item(split, dataset, index) for index in range(count)]
        return [image for image, _ in items], np.array([label for _, label in items], np.int64)

    def check_repeats(self, dataset: LabeledImages, images: list[NDArray[np.uint8]]) -> None:
        """Refuse training images that change from reading to reading.

        Raises:
            UserError: One does; the sentence names it.
        """
        for index, image in enumerate(images[:_REPEATS]):
            again, _ = self._item("train", dataset, index)
            if not np.array_equal(again, image):
                raise UserError(
                    f"data: train[{index}] is another image when it is read again; leave random transforms out of the "
                    "dataset, as the recipe augments"
                )

    def _item(self, split: str, dataset: LabeledImages, index: int) -> tuple[NDArray[np.uint8], int]:
        where = f"data: {split}[{index}]"
        try:
            item = dataset[index]
        except Exception as error:  # whatever a user's dataset raises
            raise UserError(
                f"{where} cannot be read ({type(error).__name__}: {error}); correct the dataset or leave the image out"
            ) from error
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise UserError(f"{where} is {type(item).__name__}; it must be a pair (image, label)")
        try:
            label = operator.index(item[1])
        except TypeError:
            raise UserError(f"{where} has the label {item[1]!r}; it must be a whole number from 0") from None
        try:
            self.bits = max(self.bits, _bits(item[0]))
            return self._fitted(_pixels(item[0], self._reading.bit_depth)), label
        except ValueError as error:
            raise UserError(f"{where} has an image that cannot be used: {error}") from None

    def _fitted(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        image = Image.fromarray(pixels)
        target = smaller_size(image.size, self._reading.short_side)
        return pixels if target is None else np.asarray(image.resize(target, Image.Resampling.BILINEAR))


def _classes(
    given: Sequence[str] | None,
    datasets: Mapping[str, LabeledImages],
    labels: Mapping[str, NDArray[np.int64]],
) -> tuple[str, ...]:
    """Return class names that fit the labels.

    Raises:
        UserError: There are none.
    """
    names = _named(datasets) if given is None else tuple(map(_text, given))
    if names is None:
        names = tuple(map(str, range(max(2, 1 + max(int(own.max()) for own in labels.values())))))
    if len(names) < 2:
        raise UserError(f"data: classes are {list(names)}; at least two are needed")
    for split, own in labels.items():
        for index in np.flatnonzero((own < 0) | (own >= len(names)))[:1]:
            raise UserError(
                f"data: {split}[{index}] has the label {own[index]}; of {len(names)} classes it must be one from 0 to "
                f"{len(names) - 1}"
            )
    counts = np.bincount(labels["train"], minlength=len(names))
    if missing := [name for name, count in zip(names, counts, strict=True) if not count]:
        raise UserError(
            f"data: train has no image of {', '.join(map(repr, missing))}; number the classes from 0, and give images "
            "of each"
        )
    return names


def _named(datasets: Mapping[str, LabeledImages]) -> tuple[str, ...] | None:
    """Return the class names that the datasets have, None where they have none.

    Raises:
        UserError: They contradict each other.
    """
    found = {split: names for split, dataset in datasets.items() if (names := _own_classes(dataset))}
    for (first, names), (second, others) in pairwise(found.items()):
        if names != others:
            raise UserError(
                f"data: the classes of {first} and {second} differ, {names} and {others}; give datasets of the same "
                "classes, or name them by the argument classes"
            )
    return next(iter(found.values()), None)


def _own_classes(dataset: Any) -> tuple[str, ...]:
    """Return the attribute `classes`, also of the dataset that this one is a subset of."""
    while dataset is not None:
        classes = getattr(dataset, "classes", None)
        if isinstance(classes, list | tuple):
            return tuple(map(_text, classes))
        dataset = getattr(dataset, "dataset", None)
    return ()


def _text(name: object) -> str:
    """Join the names of one class, of which torchvision's ImageNet has several."""
    return ", ".join(map(str, name)) if isinstance(name, tuple) else str(name)


def _bits(image: object) -> int:
    """Return the bits that a gray image of more than 8 bits uses, 0 of any other."""
    return (bits_used(image) or 0) if isinstance(image, Image.Image) else 0


def _pixels(image: object, bit_depth: int | None) -> NDArray[np.uint8]:
    """Convert one image to (height, width) or (height, width, 3) uint8, in memory of its own.

    Raises:
        ValueError: It cannot be used; the text says why, and what would be right.
    """
    if isinstance(image, Image.Image):
        gray = image.mode in ("1", "L", "LA", "La") or image.mode.startswith("I")
        return np.array(eight_bit(image, bit_depth).convert("L" if gray else "RGB"))
    if isinstance(image, torch.Tensor):
        tensor = image.detach().cpu()
        array = (tensor.double() if tensor.is_floating_point() else tensor).numpy()
        return _eight_bits(_channels_last(array, prefer_first=True))
    if isinstance(image, np.ndarray):
        return _eight_bits(_channels_last(image, prefer_first=False))
    raise ValueError(f"it is {type(image).__name__}; give a PIL image, an array or a tensor")


def _channels_last(array: NDArray[Any], *, prefer_first: bool) -> NDArray[Any]:
    """Return (height, width) of a gray image, (height, width, 3) of one in color.

    Args:
        array: With the channels first, last, or without.
        prefer_first: Which dimension is taken where both could be the channels.
    """
    first, last = (array.ndim == 3 and array.shape[place] in (1, 3) for place in (0, 2))
    if array.size == 0 or not (array.ndim == 2 or first or last):
        raise ValueError(
            f"its shape is {array.shape}; give (height, width), or with 1 or 3 channels as the first or last dimension"
        )
    if first and (prefer_first or not last):
        array = np.moveaxis(array, 0, 2)
    return array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array


def _eight_bits(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Convert pixels to uint8, contiguous."""
    if np.issubdtype(array.dtype, np.floating):
        low, high = float(array.min()), float(array.max())
        if not (low >= -_SLACK and high <= 1 + _SLACK):  # nor is it where one is not a number
            raise ValueError(
                f"its values go from {low:g} to {high:g}; give floats from 0 to 1, before any normalization, or uint8"
            )
        array = np.rint(255 * array.astype(np.float64).clip(0, 1)).astype(np.uint8)
    if array.dtype != np.uint8:
        raise ValueError(f"its type is {array.dtype}; give uint8, or floats from 0 to 1")
    return np.array(array, order="C")


def _with(channels: int, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the image with so many channels: a gray one among others three times the same."""
    return image if channels == 1 or image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
