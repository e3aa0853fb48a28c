"""Files and folders that are whole or not there, whenever the process ends."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from narsfast.errors import UserError

from .refusals import refusable

_PREFIX = ".partial-"


def expanded(path: str | os.PathLike[str]) -> Path:
    """Expand a leading ``~``; the name of no user stays as it is, and is then a file that is not there."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def output_path(path: str | os.PathLike[str]) -> Path:
    """Expand a leading ``~`` of what is to be written.

    Raises:
        UserError: It is the home of nobody, of which no folder of that name should be made.
    """
    found = expanded(path)
    if str(found).startswith("~"):
        raise UserError(
            f"{path} begins with the name of no user here; give an absolute path where it is a folder's name"
        )
    return found


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; when the block ends well it becomes `path` at once.

    The file is on the disk (fsync) before it gets its name, so that after a crash `path` holds either the old
    content or the new. When the block raises, nothing is left. The temporary name ends like `path`, for
    writers that go by the suffix. A device or a pipe keeps its name, and gets the content.
    """
    path = Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        with tempfile.TemporaryDirectory() as folder:
            yield (written := Path(folder, path.name))
            with path.open("wb", buffering=0) as device:
                device.write(written.read_bytes())
        return
    temporary = _partial(path)
    try:
        yield temporary
        readable_by_umask(temporary)
        _sync(temporary)
        os.replace(temporary, path)
        _sync_folder(path.parent)
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
            (_sync_folder if written.is_dir() else _sync)(written)
        _sync_folder(temporary)
        if path.exists():
            _move_directory(path, old)
        try:
            _move_directory(temporary, path)
        except OSError:
            if old.exists() and not path.exists():
                _move_directory(old, path)
            raise
        _sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def write_file(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Write `content` (text as UTF-8) to `path` in one step, see `replacing`."""
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def readable_by_umask(path: Path) -> None:
    """Give a file the mode of any new one; some writers keep theirs to themselves."""
    with refusable("chmod", "files keep the mode that it gives them"):
        path.chmod(0o666 & ~_umask())


def remove_partial(directory: Path) -> None:
    """Remove what interrupted blocks left below `directory`, where nobody may be writing."""
    for leftover in sorted(directory.rglob(f"{_PREFIX}*")):
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink(missing_ok=True)


def _partial(path: Path) -> Path:
    return path.with_name(f"{_PREFIX}{secrets.token_hex(4)}-{path.name}")


def _move_directory(source: Path, target: Path) -> None:
    """Rename a folder; where the disk cannot, copy it, which is not done at once."""
    # Layered disks say that the folder is on another one, mounted buckets that it has too many files.
    refusals = (errno.EXDEV, errno.EMFILE)
    with refusable("to rename a folder", "it is copied, and half there while that lasts", *refusals):
        source.rename(target)
        return
    try:
        shutil.copytree(source, target)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    shutil.rmtree(source)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync(path: Path) -> None:
    """Wait until a file is on the disk."""
    with refusable("fsync", "after a loss of power, files written shortly before may be incomplete"):
        _fsync(path)


def _sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    with refusable("fsync of a folder", "after a loss of power, the latest files may be missing"):
        _fsync(path)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
