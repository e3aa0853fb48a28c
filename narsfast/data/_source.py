"""Where the images of a data set come from, as a user names it: the one place that tells the kinds apart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from narsfast.common.files import expanded
from narsfast.errors import UserError

from ._dataset import Dataset
from ._digits import load_digits
from ._folder import check_folder, load_folder
from ._stored import SUFFIX, check_stored, load_stored

DIGITS = "digits"
"""The name of the embedded data, which is what is taken where none is named."""


@dataclass(frozen=True)
class DataSource:
    """The embedded digits, a folder of images, or a file that `save_dataset` wrote.

    Attributes:
        kind: Which of the three.
        text: ``digits``, or the absolute path; the same for every way to write it, and parsed to an equal source in
            every process.
    """

    kind: Literal["digits", "folder", "file"]
    text: str

    @classmethod
    def parse(cls, text: str | Path) -> DataSource:
        """Parse what a user wrote; `check` tells whether it is there.

        Args:
            text: ``digits``, or a path; one that ends in ``.safetensors`` is a stored data set, any other a folder.

        Raises:
            UserError: It is empty.
        """
        text = str(text)
        if not text:
            raise UserError(f"data is empty; give '{DIGITS}', a folder of images or a stored data set")
        if text == DIGITS:
            return cls("digits", text)
        path = expanded(text).resolve()
        return cls("file" if path.suffix == SUFFIX else "folder", str(path))

    @property
    def embedded(self) -> bool:
        """Whether the pixels come decoded, so that a loader has no image files to read."""
        return self.kind != "folder"

    @property
    def name(self) -> str:
        """A short name: ``digits``, the folder's, or the file's without its suffix."""
        return Path(self.text).stem if self.kind == "file" else Path(self.text).name

    def check(self) -> None:
        """Refuse a folder or file that is not there.

        Raises:
            UserError: It is not there; the sentence names it.
        """
        if self.kind == "folder":
            check_folder(Path(self.text))
        elif self.kind == "file":
            check_stored(Path(self.text))

    def load(self, resolution: int = 320, *, mirror: bool = True) -> Dataset:
        """Load the images; the arguments are those of `narsfast.data.load_data`.

        Raises:
            UserError: It is not there, or its classes cannot be used.
        """
        if self.kind == "digits":
            return load_digits()
        if self.kind == "file":
            return load_stored(Path(self.text), mirror)
        return load_folder(Path(self.text), resolution, mirror)
