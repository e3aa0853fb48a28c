"""Labeled images in three splits, and the batches that a training reads from them."""

from narsfast.common.options import LoaderChoice

from ._augmentation import AUGMENTATIONS, Augmentation
from ._batches import batches, steps_per_epoch
from ._dataset import Dataset, Preprocess, Skipped, Split
from ._folder import check_folder
from ._load import load_data, shared_data
from ._loader import Loader, loader_version, open_loader, resolve_loader
from ._mixing import mixed
from ._random import derived_seed, uniforms
from ._share import WHOLE, Share, batch_share, split_share

__all__ = [
    "AUGMENTATIONS",
    "WHOLE",
    "Augmentation",
    "Dataset",
    "Loader",
    "LoaderChoice",
    "Preprocess",
    "Share",
    "Skipped",
    "Split",
    "batch_share",
    "batches",
    "check_folder",
    "derived_seed",
    "load_data",
    "loader_version",
    "mixed",
    "open_loader",
    "resolve_loader",
    "shared_data",
    "split_share",
    "steps_per_epoch",
    "uniforms",
]
