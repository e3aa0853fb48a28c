"""A data set in one file, so that every process reads the same pixels: safetensors, without pickled code.

The file holds, for each split, ``SPLIT.pixels`` (all images one after the other, uint8), ``SPLIT.sizes`` ((n, 2) int64:
height and width) and ``SPLIT.labels`` ((n,) int64); its metadata has the name, the classes and the preprocessing as
JSON. It is mapped into memory, so that processes which read the same file share its pages.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from narsfast.common.files import replacing
from narsfast.errors import UserError, refusal

from ._content import Content
from ._dataset import CachedImages, Dataset, Preprocess, Split

SUFFIX = ".safetensors"
"""How the name of a stored data set ends."""

_KEY = "narsfast.dataset"  # of the metadata
_AT_ONCE = 256  # images read at a time


class _Description(BaseModel):
    """The metadata of a stored data set."""

    model_config = ConfigDict(extra="forbid")

    name: str
    classes: tuple[str, ...] = Field(min_length=2)
    preprocess: Preprocess


def save_dataset(dataset: Dataset, file: str | Path) -> None:
    """Write a data set to one file, from which `load_data` gives the same pixels, labels, classes and preprocessing.

    A reader finds the whole file or none. All pixels are held in memory once more while it is written.

    Args:
        dataset: Any, also one from `dataset_from`.
        file: Its name ends in ``.safetensors``; missing folders are made.

    Raises:
        UserError: The name ends otherwise.
    """
    file = Path(file)
    if file.suffix != SUFFIX:
        raise UserError(f"data set file is {str(file)!r}; its name must end in {SUFFIX}")
    tensors: dict[str, NDArray[Any]] = {}
    for split in (dataset.train, dataset.val, dataset.test):
        tensors[f"{split.name}.pixels"] = _flat(split, dataset.in_chans)
        tensors[f"{split.name}.sizes"] = split.images.sizes
        tensors[f"{split.name}.labels"] = split.labels
    described = {
        "name": dataset.name,
        "classes": list(dataset.classes),
        "preprocess": _described(dataset.preprocess),
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as temporary:
        save_file(tensors, temporary, {_KEY: json.dumps(described)})


def _described(preprocess: Preprocess) -> dict[str, Any]:
    """Return the fields as JSON types; without the usual interpolation, which earlier versions did not write."""
    fields = asdict(preprocess)
    if preprocess.interpolation == Preprocess.interpolation:
        del fields["interpolation"]
    return fields


def _flat(split: Split, channels: int) -> NDArray[np.uint8]:
    """Return all pixels of a split, one image after the other."""
    pixels = np.empty(int(split.images.sizes.prod(axis=1).sum()) * channels, np.uint8)
    place = 0
    for start in range(0, len(split), _AT_ONCE):
        for image in split.images.read(np.arange(start, min(start + _AT_ONCE, len(split)))):
            flat = np.asarray(image).reshape(-1)
            pixels[place : place + len(flat)] = flat
            place += len(flat)
    return pixels


def load_stored(file: Path, mirror: bool, known: Content | None = None) -> Dataset:
    """Load what `save_dataset` wrote.

    Args:
        file: The file; it must not be written to meanwhile (`save_dataset` replaces it instead).
        mirror: Whether training may mirror images, where the file allows it.
        known: Its content as it was read before.

    Raises:
        UserError: The file is missing, or it is not a stored data set.
    """
    check_stored(file)
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
            if _KEY not in metadata:
                raise ValueError("it does not describe one")
            described = _Description.model_validate_json(metadata[_KEY])
            preprocess = replace(described.preprocess, mirror=described.preprocess.mirror and mirror)
            train, val, test = (
                Split(
                    name, *_read_split(opened, name, len(described.classes), preprocess.in_chans), preprocess
                )
                for name in ("train", "val", "test")
            )
    except (OSError, SafetensorError, ValueError) as error:
        reason = refusal(error) if isinstance(error, ValidationError) else str(error)
        raise UserError(
            f"data {str(file)!r} is not a stored data set ({reason}); write it again with save_dataset"
        ) from None
    content = Content.of_file(file, described.classes, known)
    return Dataset(described.name, described.classes, train, val, test, preprocess, content=content)


def _read_split(
    opened: Any, name: str, classes: int, channels: int
) -> tuple[NDArray[np.int64], CachedImages]:
    """Read labels and images of a split.

    Raises:
        ValueError: They contradict each other.
    """
    pixels, sizes, labels = (
        opened.get_tensor(f"{name}.{part}").numpy() for part in ("pixels", "sizes", "labels")
    )
    if sizes.shape != (len(labels), 2) or not len(labels) or int(labels.min()) < 0:
        raise ValueError(f"{name} has sizes {sizes.shape} for {len(labels)} labels")
    if int(labels.max()) >= classes:
        raise ValueError(f"{name} has label {labels.max()} of {classes} classes")
    lengths = sizes.prod(axis=1) * channels
    if int(lengths.sum()) != len(pixels):
        raise ValueError(f"{name} has {len(pixels)} bytes of pixels where its sizes say {lengths.sum()}")
    parts = np.split(pixels, np.cumsum(lengths)[:-1])
    shapes = [(*size, channels) if channels > 1 else tuple(size) for size in sizes.tolist()]
    return labels, CachedImages([part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)])


def check_stored(file: Path) -> None:
    """Refuse what is not a file.

    Raises:
        UserError: It is not; the sentence names it.
    """
    if not file.is_file():
        raise UserError(f"data {str(file)!r} is not a file; name one that save_dataset wrote")
