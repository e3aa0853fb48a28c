"""Files that are whole or not there, whenever the process ends."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = ".partial-"


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a temporary path beside `path` to write to; when the block ends well it becomes `path` at once.

    The file is on the disk (fsync) before it gets its name, so that after a crash `path` holds either the old
    content or the new. When the block raises, nothing is left. The temporary name ends like `path`, for
    writers that go by the suffix.
    """
    path = Path(path)
    temporary = path.with_name(f"{_PREFIX}{secrets.token_hex(4)}-{path.name}")
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_file(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Writes `content` (text as UTF-8) to `path` in one step, see `replacing`."""
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def remove_partial(directory: Path) -> None:
    """Removes what interrupted `replacing` blocks left below `directory`; nobody may be writing there."""
    for leftover in directory.rglob(f"{_PREFIX}*"):
        leftover.unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
