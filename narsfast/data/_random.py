"""Counter-based random numbers: every draw is a hash of its keys and depends on no draw before.

The hash chains the finalizer of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
generators", OOPSLA 2014) over the keys. It serves augmentation and splits, not cryptography.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


class Purpose(IntEnum):
    """What a draw is for: one number each, so that draws of different purposes are independent."""

    ORDER = 1
    CROP = 2
    POLICY = 3
    MIXUP = 4
    NETWORK = 5
    SPLIT = 6
    CUTMIX = 7
    MIXING = 8
    POLICY_SHARE = 9
    COLOR = 10
    ERASING = 11
    BALANCE = 12


def _finalize(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(30))) * _FIRST
    x = (x ^ (x >> np.uint64(27))) * _SECOND
    return x ^ (x >> np.uint64(31))


def random_bits(*keys: ArrayLike) -> NDArray[np.uint64]:
    """Hash integer keys to 64 random bits.

    Args:
        *keys: Integers or integer arrays that broadcast together; negative ones count modulo 2**64.

    Returns:
        The hash, of the broadcast shape (at least 1-d), uint64.
    """
    state = np.zeros(1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for key in keys:
            word = (
                np.array([key & 0xFFFFFFFFFFFFFFFF], dtype=np.uint64)
                if isinstance(key, int)
                else np.asarray(key).astype(np.uint64)
            )
            state = _finalize((state ^ word) + _GOLDEN)
    return state


def uniforms(draws: int, *keys: ArrayLike) -> NDArray[np.float64]:
    """Draw uniform numbers in [0, 1).

    Args:
        draws: Independent numbers per key.
        *keys: Integers or (n,) integer arrays, the identity of the draw.

    Returns:
        (n, draws) float64, n = 1 if all keys are single integers.
    """
    bits = random_bits(*keys)[:, None]
    words = random_bits(bits, np.arange(draws, dtype=np.uint64)[None, :])
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def hash_seed(*keys: ArrayLike) -> int:
    """Hash keys to one seed below 2**63, for a generator that needs one."""
    return int(random_bits(*keys)[0] >> np.uint64(1))
