"""Labeled images in three splits, and the batches that a training reads from them."""

from narsfast.common.options import LoaderChoice

from ._augmentation import AUGMENTATIONS, Augmentation
from ._batches import batches, steps_per_epoch
from ._content import Content, content_changes
from ._dataset import Dataset, Preprocess, Split
from ._folder import holds
from ._folder_options import FolderOptions
from ._listing import Skipped
from ._load import load_data, shared_data
from ._loader import Loader, loader_version, open_loader, resolve_loader
from ._memory import LabeledImages, as_dataset, dataset_from
from ._mixing import mixed
from ._random import hash_seed, uniforms
from ._share import WHOLE, Share, batch_share, split_share
from ._source import DIGITS, DataSource
from ._stored import save_dataset

__all__ = [
    "AUGMENTATIONS",
    "DIGITS",
    "WHOLE",
    "Augmentation",
    "Content",
    "DataSource",
    "Dataset",
    "FolderOptions",
    "LabeledImages",
    "Loader",
    "LoaderChoice",
    "Preprocess",
    "Share",
    "Skipped",
    "Split",
    "as_dataset",
    "batch_share",
    "batches",
    "content_changes",
    "dataset_from",
    "hash_seed",
    "holds",
    "load_data",
    "loader_version",
    "mixed",
    "open_loader",
    "resolve_loader",
    "save_dataset",
    "shared_data",
    "split_share",
    "steps_per_epoch",
    "uniforms",
]
