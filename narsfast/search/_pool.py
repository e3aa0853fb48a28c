"""The pool: a quasi-Monte Carlo sample of the space inside bounds (step 2 of Algorithm 1; this project's choice)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narsfast.cost import Budget
from narsfast.errors import UserError
from narsfast.predictor import Statistics
from narsfast.space import Genes

MIN_CHUNK = 2**12
MAX_CHUNK = 2**15
MIN_SHARE = 1e-3
"""Smallest feasible share of `MIN_POINTS` points with which sampling continues (this project's choice)."""
MIN_POINTS = 2**16
POINTS_PER_CANDIDATE = 2000
"""Largest number of points drawn per wanted candidate, after which the space has too few distinct ones."""


@dataclass(frozen=True)
class Pool:
    """Candidates to pick from, with their statistics.

    Attributes:
        genes: (n, F) int16, canonical, no two equal.
        statistics: (n, S), the columns of the counter.
        anchors: How many of the first candidates are in the first batch whatever the seed.
    """

    genes: Genes
    statistics: NDArray[Any]
    anchors: int = 0

    def anchored(self, counter: Statistics, genes: Genes) -> Pool:
        """Return the pool with these candidates (k, F) in front, as its anchors; they take the place of the last ones.

        Args:
            counter: Of the pool.
            genes: Canonical, no two equal; they need not be inside the bounds of the pool.
        """
        space = counter.space
        others = ~np.isin(space.keys(self.genes), space.keys(genes))
        kept = np.flatnonzero(others)[: max(0, len(self) - len(genes))]
        return Pool(
            np.concatenate([genes, self.genes[kept]]),
            np.concatenate([counter(genes).astype(self.statistics.dtype), self.statistics[kept]]),
            len(genes),
        )

    def __len__(self) -> int:
        return len(self.genes)


def sample_pool(counter: Statistics, bounds: Budget | None, n: int, seed: int) -> Pool:
    """Draw n distinct candidates inside the bounds, in the order of a scrambled Sobol sequence.

    Args:
        counter: Counter of the statistics of candidates.
        bounds: Bounds on the statistics, or None.
        n: Size of the pool.
        seed: Seed of the scrambling.

    Returns:
        Exactly n candidates.

    Raises:
        UserError: The space has fewer than n candidates, almost none is inside the bounds, or too few distinct ones
            are.
    """
    space = counter.space
    if n < 1:
        raise UserError(f"pool size is {n}; it should be at least 1")
    if space.size() < n:
        raise UserError(
            f"pool size is {n}, but {space.name} has only {space.size()} candidates; ask for fewer"
        )
    genes = np.empty((n, len(space.fields)), np.int16)
    statistics = np.empty((n, len(counter.names)), counter(genes[:0]).dtype)
    keys = np.empty(n, np.uint64)
    size = drawn = inside = 0
    while size < n:
        if drawn >= MIN_POINTS and inside < MIN_SHARE * drawn:
            raise UserError(
                f"only {inside} of {drawn} sampled candidates of {space.name} are inside {_label(bounds)} "
                f"(a share of {inside / drawn:.2g}); widen the bounds"
            )
        if drawn >= max(MIN_POINTS, POINTS_PER_CANDIDATE * n):
            raise UserError(
                f"pool size is {n}, but {drawn} samples of {space.name} gave only {size} different candidates "
                f"inside {_label(bounds)} (a share of {inside / drawn:.2g} is inside); ask for fewer or widen the bounds"
            )
        chunk = min(max(MIN_CHUNK, 1 << (n - 1).bit_length(), drawn), MAX_CHUNK)
        new = space.sobol(chunk, seed, skip=drawn)
        counted = counter(new)
        feasible = np.ones(chunk, np.bool_) if bounds is None else bounds.within(counted, counter.names)
        drawn += chunk
        inside += int(feasible.sum())
        rows = np.flatnonzero(feasible)
        new_keys = space.keys(new[rows])
        first = np.sort(np.unique(new_keys, return_index=True)[1])
        first = first[~np.isin(new_keys[first], keys[:size])][: n - size]
        end = size + len(first)
        genes[size:end], statistics[size:end] = new[rows[first]], counted[rows[first]]
        keys[size:end] = new_keys[first]
        size = end
    return Pool(genes, statistics)


def _label(bounds: Budget | None) -> str:
    return "no bounds" if bounds is None else bounds.label()
