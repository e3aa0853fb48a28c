"""In which order a training visits the images of its split.

Images are named by sample numbers. The first visit of image i in an epoch is sample i, and in an epoch of balanced
classes its k-th one is sample i + (k - 1) * n, of n images: so each visit has an augmentation of its own, and is a
function of (seed, epoch, sample) as any other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ._random import Purpose, random_bits


def shuffled(samples: NDArray[np.int64], seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the samples (n,) in the order of (seed, epoch)."""
    return samples[np.argsort(random_bits(Purpose.ORDER, seed, epoch, samples), kind="stable")]


def balanced_samples(labels: NDArray[np.int64], seed: int, epoch: int) -> NDArray[np.int64]:
    """Draw as many samples as there are images, as many of each class as of any other, up to one.

    A class of few images has each of them equally often, up to once; of a class of many, every epoch has other ones.

    Args:
        labels: (n,) of the images.
        seed: Of the trial.
        epoch: Counted from 0.

    Returns:
        (n,) sample numbers, class by class.
    """
    count = len(labels)
    counts = np.bincount(labels)
    present = np.flatnonzero(counts)
    wanted = np.full(len(present), count // len(present))
    lots = random_bits(Purpose.BALANCE, seed, epoch, count + present)
    wanted[np.argsort(lots, kind="stable")[: count % len(present)]] += 1
    by_class = np.lexsort((random_bits(Purpose.BALANCE, seed, epoch, np.arange(count)), labels))
    ends = np.cumsum(counts[present])
    drawn = []
    for own, places in zip(np.split(by_class, ends[:-1]), wanted.tolist(), strict=True):
        visits = np.arange(places)
        drawn.append(own[visits % len(own)] + count * (visits // len(own)))
    return np.concatenate(drawn)
