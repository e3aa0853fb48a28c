"""One driver a run: an flock on a file that also tells who holds it.

The kernel lets go of the lock when the driver ends, however it ends, so that there is nothing to clean up
after a crash.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from weakref import WeakSet

from narsfast.errors import UserError

LOCK_FILE = "run.lock"
_PATIENCE = 0.5  # seconds; `driver_of` holds the lock for an instant when it looks
_held: WeakSet[DriverLock] = WeakSet()


class DriverLock:
    """Holds the lock of a run's directory from construction to `release`.

    Args:
        directory: An existing directory.

    Raises:
        UserError: Another process (or another `DriverLock` of this one) holds it; the process id is named.
    """

    def __init__(self, directory: Path) -> None:
        self._descriptor = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._take(directory)
        except BaseException:
            os.close(self._descriptor)
            raise
        _held.add(self)

    def _take(self, directory: Path) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not _try_lock(self._descriptor, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                holder = _holder(self._descriptor)
                raise UserError(
                    f"{directory} is driven by process {holder}: "
                    "wait for it, stop it, or name another directory"
                )
            time.sleep(0.02)
        text = f"{os.getpid()}\n".encode()
        os.pwrite(self._descriptor, text, 0)
        os.ftruncate(self._descriptor, len(text))

    def release(self) -> None:
        """Lets go; a second call does nothing."""
        if self in _held:
            _held.discard(self)
            os.close(self._descriptor)


def driver_of(directory: Path) -> int | None:
    """Process id of the living driver of `directory`, None when nobody drives it."""
    try:
        descriptor = os.open(directory / LOCK_FILE, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        while not _try_lock(descriptor, fcntl.LOCK_SH):
            holder = _holder(descriptor)
            if holder is not None:
                return holder
            time.sleep(0.01)  # the very first driver has locked the file and not yet written its id
        return None
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text else None


def _close_in_forked_child() -> None:
    # A forked child (a data loader's worker) shares the lock; it must not keep it when its parent is killed.
    for lock in list(_held):
        os.close(lock._descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_in_forked_child)
