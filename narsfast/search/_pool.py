"""The pool: a quasi-Monte Carlo sample of the space inside bounds (step 2 of Algorithm 1; this project's choice)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narsfast.common.seeds import derive_seed
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


BAND = 0.6
"""Smallest share of a budget that candidates trained for it use (this project's choice)."""


@dataclass(frozen=True)
class Pool:
    """Candidates to pick from, with their statistics.

    Attributes:
        genes: (n, F) int16, canonical, no two equal.
        statistics: (n, S), the columns of the counter.
        band: (n,) int64, for which of the budgets a candidate is there, from 0; a batch has as many of each. By default
            all are there for one.
        anchors: How many of the first candidates are in the first batch whatever the seed.
    """

    genes: Genes
    statistics: NDArray[Any]
    band: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    anchors: int = 0

    def __post_init__(self) -> None:
        if len(self.band) != len(self.genes):
            object.__setattr__(self, "band", np.zeros(len(self.genes), np.int64))

    def anchored(self, counter: Statistics, genes: Genes, band: NDArray[np.int64]) -> Pool:
        """Return the pool with these candidates in front, as its anchors; they take the place of the last ones.

        Args:
            counter: Of the pool.
            genes: (k, F), canonical, no two equal; they need not be inside the bounds of the pool.
            band: (k,), as the attribute.
        """
        space = counter.space
        others = ~np.isin(space.keys(self.genes), space.keys(genes))
        kept = np.flatnonzero(others)[: max(0, len(self) - len(genes))]
        return Pool(
            np.concatenate([genes, self.genes[kept]]),
            np.concatenate([counter(genes).astype(self.statistics.dtype), self.statistics[kept]]),
            np.concatenate([band, self.band[kept]]),
            len(genes),
        )

    def __len__(self) -> int:
        return len(self.genes)


def sample_bands(counter: Statistics, budgets: Sequence[Budget], n: int, seed: int) -> Pool:
    """Draw n distinct candidates, as many for each budget, that use `BAND` of it at least.

    That is of the first statistic that the budget bounds from above only. Where the space has too few such candidates,
    they are drawn from all that keep the budget, and where these are few, there are fewer.

    Args:
        counter: Counter of the statistics of candidates.
        budgets: At least one.
        n: Size of the pool; less where bands overlap, or few candidates keep a budget.
        seed: Seed of the scrambling.

    Raises:
        UserError: No candidate that was sampled keeps a budget.
    """
    parts: list[Pool] = []
    for number, budget in enumerate(budgets):
        size = n // len(budgets) + (number < n % len(budgets))
        drawn = derive_seed(seed, "band", number)
        try:
            part = sample_pool(counter, band_of(budget), size, drawn)
        except UserError:
            part = _few(counter, budget, size, drawn)
        parts.append(part)
    genes = np.concatenate([part.genes for part in parts])
    band = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    first = np.sort(np.unique(counter.space.keys(genes), return_index=True)[1])
    return Pool(genes[first], np.concatenate([part.statistics for part in parts])[first], band[first])


def _few(counter: Statistics, budget: Budget, n: int, seed: int) -> Pool:
    """Return n distinct candidates inside a budget, or those of `MIN_POINTS` samples.

    Raises:
        UserError: There is none.
    """
    space = counter.space
    genes = space.sobol(MIN_POINTS, seed)
    genes = genes[np.sort(np.unique(space.keys(genes), return_index=True)[1])]
    statistics = counter(genes)
    rows = np.flatnonzero(budget.within(statistics, counter.names))[:n]
    if not len(rows):
        spans = ", ".join(
            f"{name} {column.min():,} to {column.max():,}"
            for name in budget.bounds
            for column in (statistics[:, counter.names.index(name)],)
        )
        raise UserError(
            f"budget {budget.label()}: no candidate of {space.name} that was sampled keeps it (they have {spans}); "
            "change it, or the space"
        )
    return Pool(genes[rows], statistics[rows])


def band_of(budget: Budget) -> Budget:
    """Return a budget with a lower bound: `BAND` of the bound of its first statistic that is bounded from above only."""
    for name, (low, high) in budget.bounds.items():
        if low == 0 and math.isfinite(high):
            return Budget({**budget.bounds, name: (BAND * high, high)})
    return budget


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
