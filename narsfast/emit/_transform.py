"""The preprocessing of an emitted folder, which reads images by the functions that training and test read them by."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from narsfast.common import images
from narsfast.common.emitted import read_preprocessing

PREPROCESS_FILE = "preprocess.py"
"""Name of the copy of the reader of images in an emitted folder, which needs neither torch nor narsfast."""


def load_transform(directory: str | Path) -> Callable[[images.Source], Tensor]:
    """Return the preprocessing of an image, exactly as in validation and test.

    Args:
        directory: A folder written by `emit`.

    Returns:
        A function from an image (its file, the content of its file, or a PIL image of any size and mode) to
        (in_chans, resolution, resolution) float32, normalized. Give the file, or what `PIL.Image.open` returns: of a
        large JPEG that was decoded before, pixels differ by a few of the 256 levels, at strong edges by a dozen, as
        training decodes it smaller at once.

    Raises:
        UserError: The file preprocessing.json is missing or broken.
    """
    transform = images.Transform(read_preprocessing(directory).model_dump())

    def to_tensor(image: images.Source) -> Tensor:
        return torch.from_numpy(transform(image))

    return to_tensor


def reader_source() -> str:
    """Return the text of the reader of images."""
    return Path(images.__file__).read_text(encoding="utf-8")
