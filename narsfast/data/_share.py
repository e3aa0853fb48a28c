"""Which images of a batch or a split each of several processes reads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Share = tuple[int, int]
"""Rank of this process, counted from 0, and number of processes."""

WHOLE: Share = (0, 1)
"""The share of a training in one process: all of every batch."""


def batch_share(batch: NDArray[np.int64], share: Share) -> NDArray[np.int64]:
    """Return this process's part of a training batch.

    The parts consist of pairs, one image as far from the batch's beginning as the other from its end, and keep the
    order: `mixed` blends the images of a pair, so it does the same to them in a part as in the whole batch.

    Args:
        batch: (n,) indices of images.
        share: Rank and number of processes.

    Returns:
        (m,) indices; every image is in one part, and sizes differ by 3 at most.
    """
    rank, ranks = share
    pairs = len(batch) // 2
    start, stop = rank * pairs // ranks, (rank + 1) * pairs // ranks
    middle = batch[pairs : len(batch) - pairs] if rank == ranks - 1 else batch[:0]
    return np.concatenate([batch[start:stop], middle, batch[len(batch) - stop : len(batch) - start]])


def split_share(count: int, share: Share) -> NDArray[np.int64]:
    """Return this process's part of an evaluation of `count` images: (m,) consecutive indices."""
    rank, ranks = share
    return np.arange(rank * count // ranks, (rank + 1) * count // ranks)
