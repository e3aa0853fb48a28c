"""Troubles of the machine, told apart from properties of a candidate and mistakes of the user.

Libraries raise them as errors of many kinds; here they become a `MachineError`, and what was disturbed is tried again.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from narsfast.errors import MachineError, UserError

_T = TypeVar("_T")
_log = logging.getLogger("narsfast.machine")

RETRY_DELAYS = (1.0, 5.0, 20.0, 60.0)
"""Seconds before each further attempt: together enough for a disk that is full for a minute (this project's choice)."""


class _Kind(NamedTuple):
    what: str
    remedy: str


_FULL = _Kind("the disk is full", "make room on it")
_MEMORY = _Kind("the machine is out of memory", "end other programs, or use fewer `workers`")
_LIMIT = _Kind(
    "a limit of the system is reached", "raise it (`ulimit -a` shows the limits) or use fewer `workers`"
)
_DISK = _Kind("a file cannot be reached", "see that its disk is there and lets itself be used")
_DENIED = _Kind("a file cannot be used", "name another place, or see to its permissions")
_LOST = _Kind("a process was lost", "use fewer `workers` if it was memory that ran out")
_DEVICE = _Kind("the GPU or its driver failed", "see what the system's log says about it")

_NUMBERS = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.ENOMEM: _MEMORY,
    errno.EMFILE: _LIMIT,
    errno.ENFILE: _LIMIT,
    errno.EAGAIN: _LIMIT,
}
_ALMOST_NOTHING = 2**17
"""Bytes: SQLite needs as much to begin."""
_LASTING = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
}
"""Errors of a file that waiting does not mend."""

_TEXTS = (
    (
        _FULL,
        ("no space left", "quota exceeded", "disk is full", "file write failed", "inline_container"),
    ),
    (
        _MEMORY,
        (
            *("can't allocate memory", "cannot allocate memory", "not enough memory", "unable to allocate"),
            *(
                "bad_alloc",
                "could not create a primitive",
                "could not create a memory",
                "out of shared memory",
            ),
        ),
    ),
    (_LIMIT, ("too many open files", "can't start new thread", "ancdata")),
    (
        _DISK,
        (
            *("i/o error", "input/output error", "read-only file system", "readonly database", "stale file"),
            *("unable to open database file", "database is locked", "transport endpoint", "unable to mmap"),
        ),
    ),
    (
        _LOST,
        (
            *("exited unexpectedly", "killed by signal", "bus error", "connection closed by peer"),
            *("connection reset by peer", "socket timeout"),
        ),
    ),
    (_DEVICE, ("cuda error", "cudnn error", "cudnn_status", "cublas_status", "nccl error")),
)
"""How libraries that raise errors of their own word such a trouble, in lower case."""


def machine_error(error: BaseException, folder: Path | None = None) -> MachineError | None:
    """Return what an exception says about the machine; None where it is about something else.

    Args:
        error: The exception.
        folder: Where it was to be written, for libraries that do not tell a full disk from a broken one.
    """
    if isinstance(error, MachineError):
        return error
    if isinstance(error, OSError):
        return _of_file(error)
    if isinstance(error, MemoryError):
        return _error(_MEMORY, error)
    if isinstance(error, BrokenExecutor):
        return _error(_LOST, error)
    if isinstance(error, RuntimeError | ImportError | sqlite3.Error) or _from_safetensors(error):
        text = str(error).lower()
        kind = next((kind for kind, parts in _TEXTS if any(part in text for part in parts)), None)
        if kind is _DISK and folder is not None and disk_is_full(folder):
            kind = _FULL
        if kind is not None and not (kind is _MEMORY and _beyond_the_machine(text)):
            return _error(kind, error)
    return None


@contextmanager
def machine_errors(folder: Path | None = None) -> Iterator[None]:
    """Raise what is about the machine as `MachineError`, and everything else as it is.

    Args:
        folder: As for `machine_error`.

    Raises:
        MachineError: The machine could not do what the block wanted.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        trouble = machine_error(error, folder)
        if trouble is None:
            raise
        raise trouble from error


def persistently(function: Callable[[], _T], what: str) -> _T:
    """Call `function`, and again after a while where the machine could not do it just now.

    Args:
        function: Does the same when it is called again.
        what: Names it in what is logged.

    Raises:
        MachineError: The machine could not do it in the end either.
    """
    for delay in RETRY_DELAYS:
        try:
            with machine_errors():
                return function()
        except MachineError as trouble:
            if not trouble.passing:
                raise
            _log.warning("%s: %s; it is tried again in %g s", what, trouble.what, delay)
            time.sleep(delay)
    with machine_errors():
        return function()


def lasting(error: OSError) -> bool:
    """Tell whether waiting does not mend what is wrong with a file."""
    return error.errno in _LASTING


def _of_file(error: OSError) -> MachineError:
    kind = _DENIED if lasting(error) else _NUMBERS.get(error.errno or 0, _DISK)
    said = " ".join((error.strerror or str(error) or type(error).__name__).split())
    named = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
    return MachineError(f"{kind.what} ({named}{said})", kind.remedy, not lasting(error))


def _error(kind: _Kind, error: BaseException) -> MachineError:
    said = " ".join(f"{type(error).__name__}: {error}".split())
    return MachineError(f"{kind.what} ({said[:300].rstrip(' :')})", kind.remedy)


def _from_safetensors(error: BaseException) -> bool:
    return type(error).__name__ == "SafetensorError"  # its package takes long to import


def disk_is_full(folder: Path) -> bool:
    """Tell whether the disk of a folder has no room left to speak of."""
    try:
        return shutil.disk_usage(folder).free < _ALMOST_NOTHING
    except OSError:
        return False


def _beyond_the_machine(text: str) -> bool:
    """Tell whether one piece of memory was asked for that is larger than all there is: waiting does not help."""
    asked = re.search(r"tried to allocate (\d+) bytes", text)
    return asked is not None and int(asked[1]) > os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
