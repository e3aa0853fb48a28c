"""Labelled images in three splits, and the batches that a training reads from them."""

from ._batches import AUGMENTATIONS, batches, steps_per_epoch
from ._dataset import Dataset, Preprocess, Skipped, Split
from ._load import load_data, shared_data
from ._mixing import mixed
from ._random import derived_seed, uniforms

__all__ = [
    "AUGMENTATIONS",
    "Dataset",
    "Preprocess",
    "Skipped",
    "Split",
    "batches",
    "derived_seed",
    "load_data",
    "mixed",
    "shared_data",
    "steps_per_epoch",
    "uniforms",
]
