"""What is known of image files before any of them is opened: names, sizes, times, labels and splits."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from narsfast.common.names import shown

WHOLE_FOLDER = "all"
"""In the place of a split where there are none."""


class Skipped(NamedTuple):
    """A file that was left out, and why."""

    file: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file} ({self.reason})"


@dataclass(frozen=True, eq=False)
class Listing:
    """The files of a data set in their order, not yet opened.

    Attributes:
        root: The folder that names are relative to.
        name: Of the data set.
        where: What the user named, for errors.
        classes: Names, in the order of the labels.
        splits: ``train``, and ``val`` and ``test`` where there are such; or `WHOLE_FOLDER` alone.
        folders: Where the files of each split are, for errors.
        names: N paths relative to the root (of a table also absolute ones).
        stats: (n, 3) int64: bytes, and the times in ns of the last change of content and of anything.
        labels: (n,) int64.
        sources: (n,) int64, indices of `splits`.
        skipped: What cannot be an image, and why.
        notes: Sentences on what was left out.
    """

    root: Path
    name: str
    where: str
    classes: tuple[str, ...]
    splits: tuple[str, ...]
    folders: tuple[str, ...]
    names: list[str]
    stats: NDArray[np.int64]
    labels: NDArray[np.int64]
    sources: NDArray[np.int64]
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()

    def signature(self) -> str:
        """Return a hash of all that is listed: another one after any change that the file system shows."""
        digest = hashlib.sha256(repr((str(self.root), self.classes, self.splits)).encode())
        digest.update(b"\0".join(map(os.fsencode, self.names)))
        for column in (self.stats, self.labels, self.sources):
            digest.update(np.ascontiguousarray(column).tobytes())
        return digest.hexdigest()

    def path(self, index: int) -> str:
        """Return the path of a file."""
        return os.path.join(self.root, self.names[index])


def stat_row(status: os.stat_result) -> tuple[int, int, int]:
    """Return what `Listing.stats` has of a file."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def enumerated(names: list[str], most: int = 5) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(shown, names[:most])) + more
