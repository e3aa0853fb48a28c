"""A data set in memory: three splits of labeled images and how their pixels become a network's input."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from narsfast.common.images import Interpolation, Reading
from narsfast.common.names import shown
from narsfast.common.preparation import Preparation

from ._content import Content
from ._listing import Skipped


class Images(Protocol):
    """Images that are read by index."""

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(n, 2) int64: height and width of each image in pixels."""

    def read(self, indices: NDArray[np.int64]) -> list[Image.Image]:
        """Return the images at `indices` (b,), mode ``L`` or ``RGB``."""


class CachedImages:
    """Images decoded once and kept in memory as uint8.

    Args:
        pixels: N arrays (height, width) or (height, width, 3), uint8.
    """

    def __init__(self, pixels: list[NDArray[np.uint8]]) -> None:
        self._pixels = pixels
        self.sizes = np.array([p.shape[:2] for p in pixels], dtype=np.int64).reshape(-1, 2)

    def read(self, indices: NDArray[np.int64]) -> list[Image.Image]:
        """Return the images at `indices` (b,)."""
        return [Image.fromarray(self._pixels[i]) for i in indices]

    def pixels(self, indices: NDArray[np.int64]) -> list[NDArray[np.uint8]]:
        """Return the images at `indices` (b,) as (height, width, channels) uint8."""
        return [np.atleast_3d(self._pixels[i]) for i in indices]


@dataclass(frozen=True)
class Preprocess:
    """How images become a network's input.

    Attributes:
        in_chans: 1 (gray) or 3 (RGB).
        mean: Per channel, of the training split's pixels scaled to 0..1.
        std: The same for the standard deviation.
        mirror: Whether a mirrored image keeps its class, so that training may mirror.
        area: Smallest and largest share of the image's area in a training crop (this project's choice; crops down to
            8 %, as usual for long trainings, made small networks worse).
        ratio: Smallest and largest width / height of a training crop.
        evaluation_crop: Side of the centered square that evaluation sees, as a share of the short side. The usual
            0.875 wastes pixels where images are small.
        reading: How an image file becomes 8-bit pixels.
        interpolation: How crops are resized, ``bilinear`` or ``bicubic``, both antialiased.
    """

    in_chans: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    mirror: bool = True
    area: tuple[float, float] = (0.5, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    evaluation_crop: float = 1.0
    reading: Reading = field(default_factory=Reading)
    interpolation: Interpolation = "bilinear"

    def prepared(self, preparation: Preparation) -> Preprocess:
        """Return the same but for what a network has of its own: normalization, interpolation, crop of evaluation."""
        own = preparation.for_channels(self.in_chans)
        return replace(
            self, mean=own.mean, std=own.std, interpolation=own.interpolation, evaluation_crop=own.crop
        )


@dataclass(frozen=True, eq=False)
class Split:
    """One of the three parts of a data set.

    Attributes:
        name: ``train``, ``val`` or ``test``.
        labels: (n,) int64 class indices.
        images: The n images.
        preprocess: How they become a network's input.
    """

    name: str
    labels: NDArray[np.int64]
    images: Images
    preprocess: Preprocess
    _evaluation: dict[tuple[str, int, str, float], NDArray[np.uint8]] = field(
        default_factory=dict, repr=False
    )

    def __len__(self) -> int:
        return len(self.labels)


def _differing(one: Split, other: Split) -> list[int]:
    """Return the indices of images that have other pixels or labels in another split of the same length."""
    found = []
    for index in range(len(one)):
        (mine,), (theirs,) = (split.images.read(np.array([index])) for split in (one, other))
        if one.labels[index] != other.labels[index] or mine != theirs:
            found.append(index)
    return found


@dataclass(frozen=True, eq=False)
class Dataset:
    """Three splits of labeled images.

    Attributes:
        name: ``digits``, or the folder's or stored data set's name.
        classes: Names, in the order of the labels.
        train: The split that is trained on.
        val: The split that decides what is found.
        test: The split that found networks are tested on, once.
        preprocess: How images become a network's input.
        skipped: Files that are broken or not images, and were left out.
        root: The folder; None where the pixels did not come from image files.
        notes: Sentences on what else was left out, or may be wrong with the data.
        content: The files that the pixels came from; None where there are none.
        preparation: Of the network whose preprocessing the images have; None is the data's own.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    val: Split
    test: Split
    preprocess: Preprocess
    skipped: tuple[Skipped, ...] = ()
    root: Path | None = None
    notes: tuple[str, ...] = ()
    content: Content | None = None
    preparation: Preparation | None = None

    @property
    def embedded(self) -> bool:
        """Whether the pixels came decoded, so that a loader has no image files to read."""
        return self.root is None

    @property
    def in_chans(self) -> int:
        """Channels of the images."""
        return self.preprocess.in_chans

    @property
    def mirror(self) -> bool:
        """Whether training may mirror images."""
        return self.preprocess.mirror

    def prepared(self, preparation: Preparation | None) -> Dataset:
        """Return the data set as a pretrained network was given its images: the same images, as it normalizes them.

        Args:
            preparation: Of the network, for gray images averaged over the channels; None changes nothing.
        """
        if preparation is None:
            return self
        preprocess = self.preprocess.prepared(preparation)
        return replace(
            self,
            train=replace(self.train, preprocess=preprocess),
            val=replace(self.val, preprocess=preprocess),
            test=replace(self.test, preprocess=preprocess),
            preprocess=preprocess,
            preparation=preparation,
        )

    def files(self, split: Split) -> list[str]:
        """Return the file of each image of a split, relative to the data's folder; empty where they are not in files."""
        names = [] if self.content is None else list(map(shown, self.content.names_of(split.name)))
        return names if len(names) == len(split) else []

    def fingerprint(self) -> dict[str, Any]:
        """Return what distinguishes data sets at a glance: classes, images per split, mean of the training pixels."""
        prepared = {} if self.preparation is None else {"preparation": asdict(self.preparation)}
        return {
            "classes": list(self.classes),
            **{split.name: len(split) for split in (self.train, self.val, self.test)},
            "mean": [round(value, 6) for value in self.preprocess.mean],
            **prepared,
        }

    def differing(self, other: Dataset) -> list[str]:
        """Say in which splits another data set of as many images has other pixels or labels."""
        changes = []
        for mine, theirs in zip(
            (self.train, self.val, self.test), (other.train, other.val, other.test), strict=True
        ):
            places = _differing(mine, theirs) if len(mine) == len(theirs) else []
            if places:
                changes.append(
                    f"{len(places)} image(s) of {mine.name}, the first is {mine.name}[{places[0]}]"
                )
        return changes

    @property
    def chance(self) -> float:
        """Accuracy in percent of a constant guess: the share of the largest class in the validation split."""
        return 100.0 * float(np.bincount(self.val.labels).max()) / len(self.val)
