"""Settings, random numbers and bounds of evolution, which native code and its numpy reference share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Words = NDArray[np.uint32]
Bounds = list[tuple[int, float, float]]
"""Bounds as (column of the statistics, lowest, highest), both inclusive."""

PURPOSE = 0x65766F6C
"""Key of the random numbers of evolution among those of one seed."""

UNIT = 65536.0
"""Probabilities are compared with 16 random bits."""


def philox(seed: int, purpose: int, counters: Words) -> Words:
    """Compute Philox4x32-10 (Salmon et al., SC 2011) of counters (n, 4) uint32: words (n, 4) uint32."""
    mask, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    word = [column.astype(np.uint64) for column in counters.T]
    low, high = seed & 0xFFFFFFFF, (seed >> 32 & 0xFFFFFFFF) ^ purpose
    for _ in range(10):
        product0 = np.uint64(0xD2511F53) * word[0]
        product1 = np.uint64(0xCD9E8D57) * word[2]
        word = [
            (product1 >> shift) ^ word[1] ^ np.uint64(low),
            product1 & mask,
            (product0 >> shift) ^ word[3] ^ np.uint64(high),
            product0 & mask,
        ]
        low = (low + 0x9E3779B9) & 0xFFFFFFFF
        high = (high + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack(word, axis=-1).astype(np.uint32)


@dataclass(frozen=True)
class Settings:
    """Settings of evolution; see `evolve` for their meaning."""

    seed: int
    population_size: int
    children_per_parent: int
    generations: int
    epsilon: float
    patience: int
    crossover: float
    mutation: float
    objectives: tuple[int, ...] = ()
    """Columns of the statistics to minimize in a front; without any, the best by score are selected."""


def within(statistics: NDArray[Any], bounds: Sequence[tuple[int, float, float]]) -> NDArray[np.bool_]:
    """Return which rows of the statistics (n, S) are within every bound (column, low, high), both inclusive."""
    inside = np.ones(len(statistics), np.bool_)
    for column, low, high in bounds:
        inside &= (statistics[:, column] >= low) & (statistics[:, column] <= high)
    return inside
