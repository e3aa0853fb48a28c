"""Folders and files that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path


def _sync(path: Path) -> None:
    """Bring one file or folder to the disk, so that the rename after it cannot overtake its content."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def atomic_directory(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target` that takes the place of `target` when the block ends well.

    A block that raises, or a process that is killed inside it, leaves `target` as it was: absent or the
    earlier emission. What an earlier killed process left behind is removed first.

    Args:
        target: the folder to make; its parent is made when missing. An existing folder is replaced.

    Yields:
        The temporary folder to write into. It is on the file system of `target`.
    """
    target = target.absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    for leftover in target.parent.glob(f".{escape(target.name)}.part-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    part = target.parent / f".{target.name}.part-{uuid.uuid4().hex[:8]}"
    part.mkdir()
    try:
        yield part
        for path in sorted(part.rglob("*")):
            _sync(path)
        _sync(part)
        if target.exists():
            old = part.with_name(f".{target.name}.part-old-{uuid.uuid4().hex[:8]}")
            target.rename(old)
            part.rename(target)
            shutil.rmtree(old, ignore_errors=True)
        else:
            part.rename(target)
        _sync(target.parent)
    finally:
        with suppress(FileNotFoundError):
            shutil.rmtree(part)
