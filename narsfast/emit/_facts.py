"""What an emitted folder states about its data and its measurements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from narsfast.arch import Kept
from narsfast.common.images import Interpolation, Reading
from narsfast.data import Dataset, Preprocess
from narsfast.runs import ClassResults

GIVEN = "a given recipe"
"""In the place of a budget where nothing was searched."""


@dataclass(frozen=True)
class DataFacts:
    """What a network must know of the data it was trained on to be used elsewhere.

    Attributes:
        name: The data as the user named it, ``digits`` or a folder.
        classes: Class names in the order of the logits.
        in_chans: Channels of an image, 1 (gray) or 3 (RGB).
        mean: Per-channel mean subtracted from images scaled to 0..1.
        std: Per-channel standard deviation the images are divided by afterwards.
        crop: Side of the centered square that is looked at, as a share of the image's shorter side.
        mirror: Whether training may flip images left to right.
        area: Smallest and largest share of the image's area that a training crop takes.
        ratio: Smallest and largest width / height of a training crop.
        images: Number of images of each split, ``{"train": n, "val": n, "test": n}``.
        chance: Percent of the validation split that its largest class holds, None where unknown.
        reading: How an image file becomes 8-bit pixels.
        interpolation: How the square is resized, antialiased.
    """

    name: str
    classes: tuple[str, ...]
    in_chans: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop: float = Preprocess.evaluation_crop
    mirror: bool = Preprocess.mirror
    area: tuple[float, float] = Preprocess.area
    ratio: tuple[float, float] = Preprocess.ratio
    images: Mapping[str, int] = field(default_factory=dict)
    chance: float | None = None
    reading: Reading = field(default_factory=Reading)
    interpolation: Interpolation = Preprocess.interpolation

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; without the usual interpolation, which earlier versions did not write."""
        values = asdict(self)
        if self.interpolation == Preprocess.interpolation:
            del values["interpolation"]
        return values

    def resize(self, resolution: int) -> int:
        """Return the shorter side in pixels whose center `resolution` square is what the network sees."""
        return round(resolution / self.crop)


def describe_data(data: Dataset) -> DataFacts:
    """Return what an emitted network must know of `data`."""
    preprocess = data.preprocess
    splits = (data.train, data.val, data.test)
    return DataFacts(
        name=data.name,
        classes=data.classes,
        in_chans=data.in_chans,
        mean=preprocess.mean,
        std=preprocess.std,
        crop=preprocess.evaluation_crop,
        mirror=preprocess.mirror,
        area=preprocess.area,
        ratio=preprocess.ratio,
        images={split.name: len(split) for split in splits},
        chance=data.chance,
        reading=preprocess.reading,
        interpolation=preprocess.interpolation,
    )


@dataclass(frozen=True)
class Origin:
    """The emitted network that a training started from.

    Attributes:
        name: Of its folder.
        candidate: Its id.
        data: What it was trained on, as its folder says.
        classes: Their names.
        sha256: Of its file of weights.
    """

    name: str
    candidate: str
    data: str
    classes: tuple[str, ...]
    sha256: str


@dataclass(frozen=True)
class Measurements:
    """What is known of one found network when it is emitted. Accuracies are in percent.

    Attributes:
        budget: Label of the budget it was found for, ``macs<=1M``; ``the recipe`` of one network; `GIVEN`.
        statistics: Name -> value, as counted; ``peak_memory`` in bytes at float32, batch 1.
        predicted: What the predictor promised (accuracy at the early-stop epoch on the validation split).
        validation: Accuracy on the validation split after the full training.
        test: Accuracy on the test split, measured once.
        epochs: Epochs of the full training.
        seed: Seed of the full training.
        candidate: Id of the candidate.
        seconds: Duration of the full training.
        optim_backend: Who computed the optimizer's step (`narsfast.training.resolve_backend`).
        distillation: Teacher, weight and temperature of the full training; None where it had no teacher.
        passed_over: Better predicted candidates whose full training did not end well: candidate, predicted, outcome and
            message of each.
        by_class: How it answers on the test split by class; None where that was not counted.
        origin: Where its weights but those of the classifier come from; None where it was trained from scratch.
        parent: The pretrained network that it inherited weights from (`narsfast.arch.Parent.facts`); None is none.
        kept: What it has of that network; None where there is none, or it is not known.
    """

    budget: str
    statistics: Mapping[str, int | float]
    predicted: float | None
    validation: float | None
    test: float | None
    epochs: int
    seed: int
    candidate: str
    seconds: float | None = None
    optim_backend: str | None = None
    distillation: Mapping[str, Any] | None = None
    passed_over: tuple[Mapping[str, Any], ...] = ()
    by_class: ClassResults | None = None
    origin: Origin | None = None
    parent: Mapping[str, Any] | None = None
    kept: Kept | None = None
