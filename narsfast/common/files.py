"""Files and folders that are whole or not there, whenever the process ends."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = ".partial-"


def expanded(path: str | os.PathLike[str]) -> Path:
    """Expand a leading ``~``; the name of no user stays as it is, and is then a file that is not there."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; when the block ends well it becomes `path` at once.

    The file is on the disk (fsync) before it gets its name, so that after a crash `path` holds either the old
    content or the new. When the block raises, nothing is left. The temporary name ends like `path`, for
    writers that go by the suffix.
    """
    path = Path(path)
    temporary = _partial(path)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # some writers keep a new file to themselves
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_directory(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give an empty folder beside `path` to fill; when the block ends well it takes the place of `path`.

    A block that raises, or a process that is killed inside it, leaves `path` as it was: absent or the earlier
    folder. The parent is made when missing.
    """
    path = Path(path).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, old = _partial(path), _partial(path)
    temporary.mkdir()
    try:
        yield temporary
        for written in sorted(temporary.rglob("*")):
            _sync(written)
        _sync(temporary)
        if path.exists():
            path.rename(old)
        try:
            temporary.rename(path)
        except OSError:
            if old.exists():
                old.rename(path)
            raise
        _sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def write_file(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Write `content` (text as UTF-8) to `path` in one step, see `replacing`."""
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def remove_partial(directory: Path) -> None:
    """Remove what interrupted blocks left below `directory`, where nobody may be writing."""
    for leftover in sorted(directory.rglob(f"{_PREFIX}*")):
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink(missing_ok=True)


def _partial(path: Path) -> Path:
    return path.with_name(f"{_PREFIX}{secrets.token_hex(4)}-{path.name}")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
