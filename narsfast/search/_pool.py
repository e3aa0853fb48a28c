"""The pool: a quasi Monte-Carlo sample of the space inside bounds (step 2 of Algorithm 1), our choice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narsfast.cost import Budget
from narsfast.errors import UserError
from narsfast.predictor import Statistics
from narsfast.space import Genes

FIRST_CHUNK = 2**12
LARGEST_CHUNK = 2**15
LEAST_SHARE = 1e-3
"""A feasible share below this, after `TRIED` points, counts as almost nothing (this project's choice)."""
TRIED = 2**16
POINTS_A_MEMBER = 2000
"""Points drawn for each wanted member, at most; beyond them the space has too few distinct ones."""


@dataclass(frozen=True)
class Pool:
    """Candidates to pick from, with what they cost.

    Attributes:
        genes: (n, F) int16, canonical, no two equal.
        statistics: (n, S), the counter's columns.
    """

    genes: Genes
    statistics: NDArray[Any]

    def __len__(self) -> int:
        return len(self.genes)


def sample_pool(counter: Statistics, bounds: Budget | None, n: int, seed: int) -> Pool:
    """Draw n distinct candidates inside the bounds, in the order of a scrambled Sobol sequence.

    Args:
        counter: counts the statistics; it knows the space.
        bounds: of the statistics; None takes every candidate.
        n: size of the pool.
        seed: of the scrambling.

    Returns:
        Exactly n candidates.

    Raises:
        UserError: the space holds fewer than n candidates, almost none is inside the bounds, or too few distinct
            ones are.
    """
    space = counter.space
    if n < 1:
        raise UserError(f"pool size is {n}; it should be at least 1")
    if space.size() < n:
        raise UserError(
            f"pool size is {n}, but {space.name} holds only {space.size()} candidates; ask for fewer"
        )
    genes = np.empty((n, len(space.fields)), np.int16)
    statistics = np.empty((n, len(counter.names)), counter(genes[:0]).dtype)
    keys = np.empty(n, np.uint64)
    size = drawn = inside = 0
    while size < n:
        if drawn >= TRIED and inside < LEAST_SHARE * drawn:
            raise UserError(
                f"only {inside} of {drawn} sampled candidates of {space.name} are inside {_label(bounds)} "
                f"(a share of {inside / drawn:.2g}); widen the bounds"
            )
        if drawn >= max(TRIED, POINTS_A_MEMBER * n):
            raise UserError(
                f"pool size is {n}, but {drawn} samples of {space.name} gave only {size} different candidates "
                f"inside {_label(bounds)} (a share of {inside / drawn:.2g} is inside); ask for fewer or widen the bounds"
            )
        chunk = min(max(FIRST_CHUNK, 1 << (n - 1).bit_length(), drawn), LARGEST_CHUNK)
        new = space.sobol(chunk, seed, skip=drawn)
        counted = counter(new)
        keep = np.ones(chunk, np.bool_) if bounds is None else bounds.within(counted, counter.names)
        drawn += chunk
        inside += int(keep.sum())
        rows = np.flatnonzero(keep)
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
