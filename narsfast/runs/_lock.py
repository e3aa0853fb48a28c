"""One driver a run: an flock on a file that also tells who holds it.

The kernel lets go of the lock when the driver ends, however it ends, so that there is nothing to clean up
after a crash. Where the disk has no locks, the file tells the process, when it began and its machine: a driver that
lives on this machine is seen all the same, one of another machine is not.
"""

from __future__ import annotations

import fcntl
import os
import platform
import time
from contextlib import suppress
from pathlib import Path
from weakref import WeakSet

from narsfast.common.refusals import is_refusal, tell_refusal
from narsfast.errors import UserError

LOCK_FILE = "run.lock"
_PATIENCE = 0.5  # seconds; `driver_of` holds the lock for an instant when it looks
_held: WeakSet[DriverLock] = WeakSet()


class DriverLock:
    """Holds the lock of a run's directory from construction to `release`.

    Args:
        directory: An existing directory.

    Attributes:
        locks: Whether the disk has locks.

    Raises:
        UserError: Another process (or another `DriverLock` of this one) holds it; the process id is named.
    """

    def __init__(self, directory: Path) -> None:
        self.locks = True
        self._descriptor = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._take(directory)
        except BaseException:
            os.close(self._descriptor)
            raise
        _held.add(self)

    def _take(self, directory: Path) -> None:
        deadline = time.monotonic() + _PATIENCE
        text = f"{os.getpid()}\n"
        try:
            while not _try_lock(self._descriptor, fcntl.LOCK_EX):
                if time.monotonic() > deadline:
                    raise _driven(directory, _holder(self._descriptor))
                time.sleep(0.02)
        except OSError as error:
            if not is_refusal(error):
                raise
            tell_refusal(
                "locks",
                os.strerror(error.errno or 0),
                "see to it that no other machine works on the same run",
            )
            if (holder := _living_holder(self._descriptor)) is not None:
                raise _driven(directory, holder) from None
            self.locks = False
            text = f"{os.getpid()} {_began(os.getpid())} {platform.node()}\n"
        _write(self._descriptor, text)

    def release(self) -> None:
        """Lets go; a second call does nothing."""
        if self in _held:
            _held.discard(self)
            if not self.locks:
                with suppress(OSError):  # the disk may be gone
                    _write(self._descriptor, f"0 0 {platform.node()}\n")
            os.close(self._descriptor)


def disk_has_locks(directory: Path) -> bool:
    """Tell whether the last driver of `directory` found that its disk has locks."""
    try:
        descriptor = os.open(directory / LOCK_FILE, os.O_RDONLY)
    except OSError:
        return True
    try:
        return not _without_lock(descriptor)
    except OSError:
        return True
    finally:
        os.close(descriptor)


def driver_of(directory: Path) -> int | None:
    """Process id of the living driver of `directory`, None when nobody drives it or nobody can tell."""
    try:
        descriptor = os.open(directory / LOCK_FILE, os.O_RDONLY)
    except OSError:
        return None
    try:
        if _without_lock(descriptor):
            return _living_holder(descriptor)
        while not _try_lock(descriptor, fcntl.LOCK_SH):
            holder = _holder(descriptor)
            if holder is not None:
                return holder
            time.sleep(0.01)  # the very first driver has locked the file and not yet written its id
        return None
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _driven(directory: Path, holder: int | None) -> UserError:
    return UserError(
        f"{directory} is driven by process {holder}: wait for it, stop it, or name another directory"
    )


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(descriptor: int, text: str) -> None:
    content = text.encode()
    os.pwrite(descriptor, content, 0)
    os.ftruncate(descriptor, len(content))


def _words(descriptor: int) -> list[str]:
    return os.pread(descriptor, 512, 0).decode(errors="replace").split()


def _holder(descriptor: int) -> int | None:
    words = _words(descriptor)
    return int(words[0]) if words and words[0].isdecimal() else None


def _without_lock(descriptor: int) -> bool:
    """Tell whether the driver that the file names could not lock it."""
    return len(_words(descriptor)) == 3


def _living_holder(descriptor: int) -> int | None:
    """Return the process that the file names, where it lives on this machine."""
    words = _words(descriptor)
    if len(words) != 3 or words[2] != platform.node() or not words[0].isdecimal():
        return None
    process = int(words[0])
    return process if _began(process) == words[1] else None


def _began(process: int) -> str:
    """Return when a process began, in the kernel's ticks since this machine started; empty where there is none."""
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[19]


def _close_in_forked_child() -> None:
    # A forked child (a data loader's worker) shares the lock; it must not keep it when its parent is killed.
    for lock in list(_held):
        os.close(lock._descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_in_forked_child)
