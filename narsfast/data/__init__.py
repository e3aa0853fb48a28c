"""Labelled images in three splits, and the batches that a training reads from them."""

from ._batches import AUGMENTATIONS, batches, mixed, steps_per_epoch
from ._dataset import Dataset, Preprocess, Skipped, Split
from ._load import load_data, shared_data
from ._loader import Loader, LoaderChoice, loader_version, open_loader, resolve_loader
from ._random import derived_seed, uniforms

__all__ = [
    "AUGMENTATIONS",
    "Dataset",
    "Loader",
    "LoaderChoice",
    "Preprocess",
    "Skipped",
    "Split",
    "batches",
    "derived_seed",
    "load_data",
    "loader_version",
    "mixed",
    "open_loader",
    "resolve_loader",
    "shared_data",
    "steps_per_epoch",
    "uniforms",
]
