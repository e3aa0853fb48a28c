"""Walking class folders: every folder once, whatever links there are, without hidden folders, caches and thumbnails."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from narsfast.common.names import shown
from narsfast.errors import UserError

from ._listing import Skipped, stat_row

LEFT_OUT = frozenset(
    {
        "#recycle",
        "#snapshot",
        "$recycle.bin",
        "@eadir",
        "@recycle",
        "@__thumb",
        "__macosx",
        "__pycache__",
        "desktop.ini",
        "ehthumbs.db",
        "lost+found",
        "system volume information",
        "thumbs.db",
    }
)
"""Names in lower case, beside those that begin with a dot, of caches, thumbnails and trash: never images or classes."""

_Identity = tuple[int, int]


def left_out(name: str) -> bool:
    """Whether a file or folder is left out by its name."""
    return name.startswith(".") or name.lower() in LEFT_OUT


@dataclass
class Folder:
    """What is directly in a folder, sorted.

    Attributes:
        files: Names of files, with bytes and times as in `Listing.stats`.
        folders: Names of folders.
        links: Which of them are links.
        skipped: Names of other things, and why they are no files.
    """

    files: list[tuple[str, tuple[int, int, int]]] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    links: set[str] = field(default_factory=set)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def look_into(path: str, *, hidden: bool = False) -> Folder:
    """List a folder.

    Args:
        path: Of the folder.
        hidden: Whether what `left_out` names is listed too.

    Raises:
        UserError: It cannot be read; the sentence names it.
    """
    found = Folder()
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if hidden or not left_out(entry.name):
                    _add(found, entry)
    except OSError as error:
        raise UserError(
            f"data: the folder {shown(path)!r} cannot be read ({error.strerror}); make it readable, or move it away"
        ) from None
    found.files.sort()
    found.folders.sort()
    found.skipped.sort()
    return found


def _add(found: Folder, entry: os.DirEntry[str]) -> None:
    try:
        if entry.is_dir():
            found.folders.append(entry.name)
            if entry.is_symlink():
                found.links.add(entry.name)
            return
        status = entry.stat()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ELOOP, errno.EACCES):
            raise
        reasons = {errno.ENOENT: "a link to nothing", errno.ELOOP: "a link that leads back to itself"}
        found.skipped.append((entry.name, reasons.get(error.errno, error.strerror or "")))
        return
    if stat.S_ISREG(status.st_mode):
        found.files.append((entry.name, stat_row(status)))
    else:
        found.skipped.append((entry.name, "neither a file nor a folder"))


class Walker:
    """Walks the class folders of one data set.

    Links to folders are followed where the folder is not read anyway: what is below a class folder belongs to that
    class, and a link to it from another is left out, as is one to a folder that holds the data.

    Args:
        root: The folder of the data.
        classes: Paths of all class folders, in the order in which they are walked.
        hidden: Whether names are left out directly in class folders' parents alone, as version 0.2 did.

    Attributes:
        skipped: What is no file, by its path relative to the root.
        links: Links that were left out, relative to the root.

    Raises:
        UserError: A folder cannot be read, or two class folders are one.
    """

    def __init__(self, root: str, classes: Sequence[str], *, hidden: bool = False) -> None:
        self.skipped: list[Skipped] = []
        self.links: list[str] = []
        self._root = root
        self._hidden = hidden
        self._listed: dict[str, Folder] = {}
        self._known: dict[_Identity, str] = {}
        for path in classes:
            for above in _above(root, path):
                self._known.setdefault(_identity(above), above)
        for path in classes:
            other = self._known.setdefault(_identity(path), path)
            if other != path:
                raise UserError(
                    f"data: {shown(path)!r} is the same folder as {shown(other)!r}; give each class and split a folder "
                    "of its own"
                )
        for path in classes:
            self._list_below(path)

    def _list_below(self, top: str) -> None:
        """List a folder and the folders in it that are reached without a link."""
        waiting = [top]
        while waiting:
            path = waiting.pop()
            folder = self._listed[path] = look_into(path, hidden=self._hidden)
            for name in folder.folders:
                below = os.path.join(path, name)
                if name not in folder.links and self._claim(below):
                    waiting.append(below)

    def _claim(self, path: str) -> bool:
        """Whether a folder is new; it is known from now on."""
        return self._known.setdefault(_identity(path), path) == path

    def files(self, top: str) -> Iterator[tuple[str, tuple[int, int, int]]]:
        """Yield the paths of a class folder's files relative to the root, with their stats: a folder's own first."""
        waiting = [top]
        while waiting:
            path = waiting.pop()
            folder = self._listed[path]
            place = os.path.relpath(path, self._root) + os.sep
            self.skipped += [Skipped(shown(place + name), reason) for name, reason in folder.skipped]
            yield from ((place + name, row) for name, row in folder.files)
            waiting += reversed(list(self._followed(path, folder)))

    def _followed(self, path: str, folder: Folder) -> Iterator[str]:
        """Yield the folders directly in a folder that are walked from here."""
        for name in folder.folders:
            below = os.path.join(path, name)
            if name in folder.links and self._claim(below):
                self._list_below(below)
            if below in self._listed:
                yield below
            else:
                self.links.append(os.path.relpath(below, self._root))


def _identity(path: str) -> _Identity:
    try:
        status = os.stat(path)
    except OSError as error:
        raise UserError(
            f"data: the folder {shown(path)!r} cannot be read ({error.strerror}); make it readable, or move it away"
        ) from None
    return status.st_dev, status.st_ino


def _above(root: str, path: str) -> Iterator[str]:
    """Yield the folders that hold a class folder: its parent, and the root with all that hold it."""
    yield os.path.dirname(path)
    above = os.path.realpath(root)
    yield above
    while (parent := os.path.dirname(above)) != above:
        yield parent
        above = parent
