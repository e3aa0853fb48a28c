"""Where the images of a data set come from, as a user names it: the one place that tells the kinds apart."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from narsfast.common.files import expanded
from narsfast.common.names import check_text
from narsfast.errors import UserError

from ._content import Content
from ._dataset import Dataset
from ._decode import CACHE_BYTES
from ._digits import load_digits
from ._folder import check_folder, list_folder
from ._folder_options import FolderOptions
from ._listed import load_listed
from ._listing import stat_row
from ._stored import SUFFIX, check_stored, load_stored
from ._table import SUFFIXES, check_table, list_table

DIGITS = "digits"
"""The name of the embedded data, which is what is taken where none is named."""

Load = Callable[[Content | None], Dataset]
"""Loads a data set; what was known of its content saves time."""


@dataclass(frozen=True)
class DataSource:
    """The embedded digits, a folder of images, a table of labels, or a file that `save_dataset` wrote.

    Attributes:
        kind: Which of them.
        text: ``digits``, or the absolute path; the same for every way to write it, and parsed to an equal source in
            every process. Links stay in it: where one leads elsewhere later, the data has moved there.
    """

    kind: Literal["digits", "folder", "table", "file"]
    text: str

    @classmethod
    def parse(cls, text: str | os.PathLike[str]) -> DataSource:
        """Parse what a user wrote; `check` tells whether it is there.

        Args:
            text: ``digits``, or a path; one that ends in ``.safetensors`` is a stored data set, one in ``.csv`` or
                ``.tsv`` a table, any other a folder.

        Raises:
            UserError: It is empty, or not UTF-8.
        """
        text = os.fspath(text)
        if not text:
            raise UserError(f"data is empty; give '{DIGITS}', a folder of images or a stored data set")
        if text == DIGITS:
            return cls("digits", text)
        path = _absolute(expanded(text))
        check_text("data is", path)
        suffix = path.suffix.lower()
        if suffix in SUFFIXES and not path.is_dir():
            return cls("table", str(path))
        return cls("file" if path.suffix == SUFFIX else "folder", str(path))

    @property
    def embedded(self) -> bool:
        """Whether the pixels come decoded, so that a loader has no image files to read."""
        return self.kind in ("digits", "file")

    @property
    def name(self) -> str:
        """A short name: ``digits``, the folder's, or the file's without its suffix."""
        return Path(self.text).name if self.kind == "folder" else Path(self.text).stem

    def check(self) -> None:
        """Refuse a folder or file that is not there.

        Raises:
            UserError: It is not there; the sentence names it.
        """
        if self.kind == "folder":
            check_folder(Path(self.text))
        elif self.kind == "table":
            check_table(Path(self.text))
        elif self.kind == "file":
            check_stored(Path(self.text))

    def load(
        self, resolution: int = 320, *, mirror: bool = True, options: FolderOptions | None = None
    ) -> Dataset:
        """Load the images; the arguments are those of `narsfast.data.load_data`.

        Raises:
            UserError: It is not there, or its classes cannot be used.
        """
        return self.looked_up(resolution, mirror=mirror, options=options)[1](None)

    def looked_up(self, resolution: int, *, mirror: bool, options: FolderOptions | None) -> tuple[str, Load]:
        """Look at what is there, without opening any image.

        Returns:
            A text that is another one after any change that the file system shows, and what loads the images.

        Raises:
            UserError: As `load`.
        """
        if self.kind == "digits":
            return DIGITS, lambda known: load_digits()
        path = Path(self.text)
        if self.kind == "file":
            check_stored(path)
            return repr(stat_row(path.stat())), lambda known: load_stored(path, mirror, known)
        options = options or FolderOptions()
        listing = list_folder(path, options) if self.kind == "folder" else list_table(path)
        return listing.signature(), lambda known: load_listed(
            listing, resolution, mirror, options, CACHE_BYTES, known
        )


def _absolute(path: Path) -> Path:
    """Make a path absolute; links are resolved only where ``..`` may follow one."""
    return path.resolve() if ".." in path.parts else path.absolute()
