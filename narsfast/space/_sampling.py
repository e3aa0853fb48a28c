"""Samples of genes: uniform, and quasi-Monte Carlo (from which the pool is drawn)."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc


def uniform_genes(sizes: NDArray[np.int16], n: int, seed: int) -> NDArray[np.int16]:
    """Draw genes (n, F) int16, each uniform over its field's values; the generator is Philox, keyed by the seed."""
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))
    return generator.integers(0, sizes, size=(n, len(sizes)), dtype=np.int16)


def sobol_genes(sizes: NDArray[np.int16], n: int, seed: int, skip: int = 0) -> NDArray[np.int16]:
    """Return points `skip` to `skip + n` of the scrambled Sobol sequence over searched fields, (n, F) int16."""
    genes = np.zeros((n, len(sizes)), np.int16)
    searched = np.flatnonzero(sizes > 1)
    if n == 0 or len(searched) == 0:
        return genes
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))
    sequence = qmc.Sobol(d=len(searched), scramble=True, seed=generator)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The balance properties", category=UserWarning)
        if skip:
            sequence.fast_forward(skip)
        points = sequence.random(n)
    chosen = np.floor(points * sizes[searched])
    genes[:, searched] = np.minimum(chosen, sizes[searched] - 1)
    return genes
