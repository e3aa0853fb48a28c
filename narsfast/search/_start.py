"""The start of evolution: candidates of the pool and trained candidates inside a budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narsfast.cost import Budget, format_number
from narsfast.errors import UserError
from narsfast.predictor import Statistics
from narsfast.space import Genes

from ._pool import Pool
from ._scorer import Scorer
from ._settings import PURPOSE, Bounds, Floats, philox, within

_SLICE = 1 << 15  # candidates of the pool that are processed at once, to limit memory


class Start:
    """The pool and the trained candidates, scored once for all budgets (those inside any of them)."""

    def __init__(
        self, counter: Statistics, scorer: Scorer, pool: Pool, trained: Genes, bounds: Sequence[Bounds]
    ) -> None:
        self._space = counter.space
        self._names = counter.names
        self._pool_genes = np.ascontiguousarray(pool.genes, np.int16)
        self._pool = np.asarray(pool.statistics)
        self._trained_genes = np.ascontiguousarray(trained, np.int16).reshape(-1, len(counter.space.fields))
        self._trained = count_statistics(counter, self._trained_genes)
        self._pool_scores = _scores(scorer, self._pool_genes, self._pool, bounds)
        self._trained_scores = _scores(scorer, self._trained_genes, self._trained, bounds)
        self._trained_keys = counter.space.keys(self._trained_genes)

    def select(self, budget: Budget, bounds: Bounds, seed: int, num_parents: int, num_random: int) -> Genes:
        """Select the candidates (n, F) from which evolution starts for a budget.

        Raises:
            UserError: No candidate is inside the budget.
        """
        trained = np.flatnonzero(within(self._trained, bounds))
        order = np.lexsort((self._trained_keys[trained], -self._trained_scores[trained]))
        best_trained = trained[order[:num_parents]]
        pool = np.flatnonzero(within(self._pool, bounds))
        if not len(pool) and not len(trained):
            raise UserError(self._nothing_inside(budget, bounds))
        chosen = pool[np.argsort(_draws(seed, pool), kind="stable")[:num_random]]
        scores = self._pool_scores[pool]
        best = pool[scores == scores.max(initial=-np.inf)]
        best = best[np.argsort(self._space.keys(self._pool_genes[best]))[:1]]
        return np.concatenate(
            [self._trained_genes[best_trained], self._pool_genes[chosen], self._pool_genes[best]]
        )

    def _nothing_inside(self, budget: Budget, bounds: Bounds) -> str:
        spans = []
        for column, low, _ in bounds:
            values = self._pool[:, column]
            if not len(values):
                return f"budget {budget.label()}: the pool is empty; sample one inside the budget"
            smallest, largest = format_number(float(values.min())), format_number(float(values.max()))
            span = f"the smallest {self._names[column]} in the pool is {smallest}"
            spans.append(f"{span}, the largest {largest}" if low > 0 else span)
        return (
            f"budget {budget.label()} has no candidate to start from: {'; '.join(spans)}; loosen the budget"
        )


def budget_columns(budget: Budget, names: tuple[str, ...]) -> Bounds:
    """Return the bounds of a budget by columns of the statistics.

    Raises:
        UserError: A bounded statistic is not counted.
    """
    for name in budget.bounds:
        if name not in names:
            listed = ", ".join(names) or "none"
            raise UserError(f"budget {budget.label()}: {name} is not counted; counted are {listed}")
    return [(names.index(name), low, high) for name, (low, high) in budget.bounds.items()]


def count_statistics(counter: Statistics, genes: Genes) -> Floats:
    """Count the statistics (n, S) float64 of canonical genes."""
    return np.asarray(counter(genes), np.float64).reshape(len(genes), len(counter.names))


def _slices(count: int) -> Iterator[slice]:
    return (slice(first, first + _SLICE) for first in range(0, count, _SLICE))


def _scores(scorer: Scorer, genes: Genes, statistics: NDArray[Any], bounds: Sequence[Bounds]) -> Floats:
    """Score the candidates that are inside any of the bounds, (n,); the others get minus infinity."""
    scores = np.full(len(genes), -np.inf)
    for part in _slices(len(genes)):
        inside = np.any([within(statistics[part], bound) for bound in bounds], axis=0)
        rows = part.start + np.flatnonzero(inside)
        scores[rows] = scorer.scores(genes[rows], np.asarray(statistics[rows], np.float64))
    return scores


def _draws(seed: int, rows: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Draw random words (n,) for rows of the pool; generation 0 is the start."""
    draws = np.empty(len(rows), np.uint32)
    for part in _slices(len(rows)):
        counters = np.zeros((len(rows[part]), 4), np.uint32)
        counters[:, 0] = rows[part]
        draws[part] = philox(seed, PURPOSE, counters)[:, 0]
    return draws
