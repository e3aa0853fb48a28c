"""What an emitted folder states about its data and its measurements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class DataFacts:
    """What a network must know of the data it was trained on to be used elsewhere.

    Attributes:
        name: the data as the user named it, ``digits`` or a folder.
        classes: class names in the order of the logits.
        in_chans: channels of an image, 1 (grey) or 3 (RGB).
        mean: per-channel mean subtracted from images scaled to 0..1.
        std: per-channel standard deviation the images are divided by afterwards.
        resize: the shorter side in pixels to which an image is resized before the centre crop to the resolution.
        mirror: whether training may flip images left to right.
        images: number of images of each split, ``{"train": n, "val": n, "test": n}``.
        chance: percent of the validation split that its largest class holds.
        interpolation: how images are resized.
    """

    name: str
    classes: tuple[str, ...]
    in_chans: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: int
    mirror: bool
    images: Mapping[str, int] = field(default_factory=dict)
    chance: float = 0.0
    interpolation: str = "bilinear"


@dataclass(frozen=True)
class Measurements:
    """What is known of one found network when it is emitted. Accuracies are in percent.

    Attributes:
        budget: label of the budget it was found for, ``macs<=1M``.
        statistics: name -> value, as counted; ``peak_memory`` in bytes at float32, batch 1.
        predicted: what the predictor promised (accuracy at the early-stop epoch on the validation split).
        validation: accuracy on the validation split after the full training.
        test: accuracy on the test split, measured once.
        epochs: epochs of the full training.
        seed: seed of the full training.
        candidate: id of the candidate.
        seconds: duration of the full training.
    """

    budget: str
    statistics: Mapping[str, int]
    predicted: float | None
    validation: float | None
    test: float | None
    epochs: int
    seed: int
    candidate: str
    seconds: float | None = None
