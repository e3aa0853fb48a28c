"""What some disks refuse (network disks, buckets mounted as folders), and what is gone on without."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

_log = logging.getLogger("narsfast.files")

_REFUSALS = {
    errno.EPERM,
    errno.EACCES,
    errno.EINVAL,
    errno.ENOSYS,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.ENOTTY,
    errno.EBADF,
    errno.EISDIR,
    errno.ENOLCK,
}
"""Numbers by which a disk says that it does not know an operation. A full or broken disk is none of them."""


def is_refusal(error: OSError) -> bool:
    """Tell whether an error says that the disk does not know the operation, and not that it failed."""
    return error.errno in _REFUSALS


@contextmanager
def refusable(operation: str, consequence: str, *further: int) -> Iterator[None]:
    """Go on where the disk refuses what the block tries; this is told once per process.

    Args:
        operation: What is tried.
        consequence: What follows from doing without.
        further: Numbers of errors by which this operation is refused, beside the usual ones.
    """
    try:
        yield
    except OSError as error:
        if not is_refusal(error) and error.errno not in further:
            raise
        tell_refusal(operation, os.strerror(error.errno or 0), consequence)


@cache
def tell_refusal(operation: str, reason: str, consequence: str) -> None:
    """Log once per process that a disk refuses an operation."""
    _log.warning("the disk refuses %s (%s): %s", operation, reason, consequence)
