"""What Pillow warns of while it reads image files: collected by file where they are read first, silent elsewhere."""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

_T = TypeVar("_T")

_MODULES = r"(PIL|pillow_heif)\b"
_FILES = re.compile(r"[/\\](PIL|pillow_heif)[/\\]")

_one_thread = threading.Lock()


def ignore_pillow_warnings() -> None:
    """Have this process not print what Pillow warns of: for processes whose files another one has read before."""
    warnings.filterwarnings("ignore", module=_MODULES)


def quietly(read: Callable[[], _T]) -> _T:
    """Call `read`, and where the process makes errors of warnings (``python -W error``), again without Pillow's."""
    try:
        return read()
    except Warning:
        with _one_thread, warnings.catch_warnings():  # which restores what it found, so that two must not mix
            ignore_pillow_warnings()
            return read()


class PillowWarnings:
    """Collects what Pillow warns of, by file.

    Python's filters hold for all threads, so reading may be spread over many. Warnings of others go their usual way.
    """

    def __init__(self) -> None:
        self._reading = threading.local()
        self._mutex = threading.Lock()
        self._files: dict[str, dict[int, str]] = {}

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Collect the warnings inside the block, whatever the process does with warnings elsewhere."""
        with warnings.catch_warnings():
            usual = warnings.showwarning

            def collect(message: Warning | str, category: type[Warning], filename: str, *rest: Any) -> None:
                index = getattr(self._reading, "index", None)
                if index is None or not _FILES.search(filename):
                    usual(message, category, filename, *rest)
                else:
                    self._add(index, " ".join(str(message).split()).rstrip("."))

            warnings.filterwarnings("always", module=_MODULES)
            warnings.showwarning = collect  # type: ignore[assignment]
            yield

    @contextmanager
    def of(self, index: int) -> Iterator[None]:
        """Say which file this thread reads inside the block."""
        self._reading.index = index
        try:
            yield
        finally:
            self._reading.index = None

    def _add(self, index: int, text: str) -> None:
        kind = re.sub(r"\d+", "#", text)  # sizes and places in a file make no other kind
        with self._mutex:
            self._files.setdefault(kind, {}).setdefault(index, text)

    def by_text(self) -> list[tuple[str, list[int]]]:
        """Return each kind of warning as its first file had it, with the files in their order."""
        found = ((sorted(files), files) for files in self._files.values())
        return sorted((files[places[0]], places) for places, files in found)
