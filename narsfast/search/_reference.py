"""The numpy reference of native evolution, written for readability.

The native evolution (csrc/search/evolution.cpp) gives exactly the same genes for the same scores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narsfast.predictor import Statistics, Weights
from narsfast.space import Genes, Space

from ._scorer import Score, Scorer, Scoring
from ._settings import PURPOSE, UNIT, Bounds, Floats, Settings, Words, philox, within
from ._start import count_statistics
from ._surrogate_reference import surrogate_reference


@dataclass(frozen=True)
class Population:
    """The individuals of a generation: genes (n, F), statistics (n, S), scores (n,), keys (n,)."""

    genes: Genes
    statistics: Floats
    scores: Floats
    keys: NDArray[np.uint64]

    def best(self, size: int) -> Population:
        """Return the `size` best individuals, equal scores ordered by key."""
        return self.take(np.lexsort((self.keys, -self.scores))[:size])

    def select_fronts(self, objectives: Sequence[int], size: int) -> tuple[NDArray[np.int64], int]:
        """Select individuals by nondominated sorting: score is maximized, the objectives are minimized.

        The fronts follow each other, each sorted by the objectives. A last front that does not fit is thinned evenly. Of
        equal individuals the one with the lowest key dominates.

        Returns:
            Rows of at most `size` individuals, and how many of them belong to the first front.
        """
        values = self.statistics[:, list(objectives)]
        # In this order no individual is dominated by a later one.
        order = np.lexsort((self.keys, -self.scores, *values.T[::-1]))
        fronts: list[list[int]] = []
        for i in order:
            for front in fronts:
                better = (self.scores[front] >= self.scores[i]) & (values[front] <= values[i]).all(axis=1)
                if not better.any():
                    front.append(int(i))
                    break
            else:
                fronts.append([int(i)])
        selected: list[int] = []
        for front in fronts:
            count = min(len(front), size - len(selected))
            thinned = 1 < count < len(front)
            selected += [front[i * (len(front) - 1) // (count - 1) if thinned else i] for i in range(count)]
        return np.array(selected, np.int64), min(len(fronts[0]), size)

    def take(self, rows: NDArray[np.int64]) -> Population:
        """Return the individuals of these rows, in their order."""
        return Population(self.genes[rows], self.statistics[rows], self.scores[rows], self.keys[rows])

    def concatenate(self, other: Population) -> Population:
        """Return the individuals of both populations."""
        return Population(
            np.concatenate([self.genes, other.genes]),
            np.concatenate([self.statistics, other.statistics]),
            np.concatenate([self.scores, other.scores]),
            np.concatenate([self.keys, other.keys]),
        )


class ReferenceEvolution:
    """Algorithm 2, one budget at a time.

    Args:
        space: The space of the genes.
        count: Function from canonical genes (n, F) to statistics (n, S).
        score: Function from canonical genes (n, F) and statistics (n, S) to scores (n,) float64.
        settings: Settings of evolution.
    """

    def __init__(
        self,
        space: Space,
        count: Callable[[Genes], Floats],
        score: Callable[[Genes, Floats], Floats],
        settings: Settings,
    ) -> None:
        self._space = space
        self._count = count
        self._score = score
        self._settings = settings
        self._range = np.array([field.kind == "range" and len(field.values) > 1 for field in space.fields])

    def run(
        self, start: Genes, bounds: Sequence[tuple[int, float, float]]
    ) -> tuple[Population, list[float], int, int]:
        """Evolve the candidates of a start inside the bounds, (column, low, high) each.

        Returns:
            The last population (or its front), the history as in `Evolved`, the number of children, and the number of
            children that were new and inside the bounds.
        """
        settings = self._settings
        self._seen = np.zeros(0, np.uint64)
        self._population = self._evaluate_new(start[:0], self._count(start[:0]))
        self._history: list[float] = []
        self._front_size = self._num_offspring = self._num_evaluated = 0
        self._advance(start, self._count(start))
        self._num_offspring = self._num_evaluated = 0  # the start does not count
        for generation in range(1, settings.generations + 1):
            raw, priorities = self._breed(self._population, generation)
            genes, statistics = self._repair(self._population, raw, priorities, bounds)
            self._advance(genes, statistics)
            self._num_offspring += len(raw) - len(genes)
            if self._stalled():
                break
        if settings.objectives:
            self._polish(bounds)
            self._population = self._population.take(np.arange(self._front_size))
        return self._population, self._history, self._num_offspring, self._num_evaluated

    def _advance(self, genes: Genes, statistics: Floats) -> None:
        """Score new candidates and select the next population; candidates that left it cannot return."""
        settings = self._settings
        fresh = self._evaluate_new(genes, statistics)
        self._seen = np.concatenate([self._seen, fresh.keys])
        self._num_offspring += len(genes)
        self._num_evaluated += len(fresh.genes)
        old, both = len(self._population.genes), self._population.concatenate(fresh)
        if settings.objectives:
            selected, self._front_size = both.select_fronts(settings.objectives, settings.population_size)
            self._population = both.take(selected)
            self._history.append(float((selected[: self._front_size] >= old).sum()))
        else:
            self._population = both.best(settings.population_size)
            self._history.append(float(self._population.scores[0]))

    def _stalled(self) -> bool:
        history, patience = self._history, self._settings.patience
        if len(history) <= patience:
            return False
        if self._settings.objectives:
            return not any(history[-patience:])
        return history[-1] - history[-1 - patience] <= self._settings.epsilon

    def _polish(self, bounds: Sequence[tuple[int, float, float]]) -> None:
        """Add all changes of a single field of the front's candidates, until none is new in the front.

        A front that had to be thinned is not polished, as there is always more.
        """
        expanded: set[int] = set()
        for _ in range(self._settings.generations):
            if self._front_size == self._settings.population_size:
                break
            neighbors = [self._population.genes[:0]]
            for row, key in zip(
                self._population.genes[: self._front_size], self._population.keys, strict=False
            ):
                if int(key) in expanded:
                    continue
                expanded.add(int(key))
                for field, size in enumerate(self._space.sizes):
                    changed = np.repeat(row[None], size, axis=0)
                    changed[:, field] = np.arange(size)
                    neighbors.append(np.delete(changed, row[field], axis=0))
            genes = self._space.canonical(np.concatenate(neighbors))
            statistics = self._count(genes)
            inside = within(statistics, bounds)
            self._advance(genes[inside], statistics[inside])
            self._num_offspring += int((~inside).sum())
            if self._history[-1] == 0:
                break

    def _evaluate_new(self, genes: Genes, statistics: Floats) -> Population:
        """Score the candidates whose key is neither seen before nor that of an earlier candidate."""
        keys = self._space.keys(genes)
        first = np.unique(keys, return_index=True)[1]
        new = np.sort(first[~np.isin(keys[first], self._seen)])
        genes, statistics = genes[new], statistics[new]
        scores = np.asarray(self._score(genes, statistics) if len(new) else (), np.float64)
        if not np.isfinite(scores).all():
            raise ValueError("a score is not finite")
        return Population(genes, statistics, scores, keys[new])

    def _rates(self, population: Population) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the thresholds of crossover and mutation per individual, (n,) in units of 1 / 65536."""
        scores = population.scores
        above = scores[0] - np.add.accumulate(scores)[-1] / len(scores)
        share = (scores[0] - scores) / above if above > 0 else np.ones(len(scores))
        if self._settings.objectives:  # all candidates of a front are equally good
            share = np.ones(len(scores))
        a = np.clip(share, 0.0, 1.0)
        searched = (self._space.active(population.genes) & (self._space.sizes > 1)).sum(axis=1)
        mutation = self._settings.mutation * (1.0 + 2.0 * a) / np.maximum(searched, 1)
        crossover = self._settings.crossover * a
        return _threshold(crossover), _threshold(mutation)

    def _breed(self, population: Population, generation: int) -> tuple[Genes, NDArray[np.int64]]:
        """Breed the children of every individual, not yet canonical, (n * children, F), and their order of repair."""
        settings, fields = self._settings, len(self._space.fields)
        size = len(population.genes)
        parents = np.repeat(np.arange(size), settings.children_per_parent)
        words = self._words(parents, np.tile(np.arange(settings.children_per_parent), size), generation)
        if size > 1:
            draws = words[:, 0, 0].astype(np.uint64) * np.uint64(size - 1) >> np.uint64(32)
            mates = draws.astype(np.int64)
            mates += mates >= parents
        else:
            mates = np.zeros(len(parents), np.int64)
        # Field f < half takes words 0 and 1 of block 1 + f, the other half words 2 and 3.
        choice = np.concatenate([words[:, 1:, 0], words[:, 1:, 2]], axis=1)[:, :fields].astype(np.int64)
        value = np.concatenate([words[:, 1:, 1], words[:, 1:, 3]], axis=1)[:, :fields].astype(np.int64)
        crossover, mutation = self._rates(population)
        crossed = choice >> 16 < crossover[parents, None]
        mutated = choice & 0xFFFF < mutation[parents, None]
        genes = np.where(crossed, population.genes[mates], population.genes[parents]).astype(np.int64)
        genes = np.where(mutated, self._mutate(genes, value >> 16, generation), genes)
        return genes.astype(np.int16), value & 0xFFFF

    def _words(self, parents: NDArray[np.int64], children: NDArray[np.int64], generation: int) -> Words:
        """Draw random words (n, blocks, 4) for n children."""
        blocks = (len(self._space.fields) + 1) // 2 + 1
        counters = np.empty((len(parents), blocks, 4), np.uint32)
        counters[..., 0] = np.arange(blocks)
        counters[..., 1] = children[:, None]
        counters[..., 2] = parents[:, None]
        counters[..., 3] = generation
        return philox(self._settings.seed, PURPOSE, counters.reshape(-1, 4)).reshape(counters.shape)

    def _mutate(
        self, genes: NDArray[np.int64], draws: NDArray[np.int64], generation: int
    ) -> NDArray[np.int64]:
        """Return another value for every gene, by 16 random bits each."""
        sizes = self._space.sizes.astype(np.int64)
        cap = max(self._settings.generations, 1)
        reach = np.maximum((sizes - 1) * max(cap - generation, 0) // (2 * cap), 1)
        step = 1 + ((draws >> 1) * reach >> 15)
        up, down = genes + step, genes - step
        stepped = np.where(np.where(draws & 1 == 1, up < sizes, down < 0), up, down)
        other = genes + 1 + (draws * (sizes - 1) >> 16)
        other = np.where(other >= sizes, other - sizes, other)
        return np.where(self._range, stepped, other)

    def _repair(
        self,
        population: Population,
        raw: Genes,
        priorities: NDArray[np.int64],
        bounds: Sequence[tuple[int, float, float]],
    ) -> tuple[Genes, Floats]:
        """Return the canonical children inside the bounds and their statistics, in order.

        In a child outside, architecture fields are reset to those of its parent, one per round, until it is inside.
        """
        columns = self._space.architecture_fields
        parents = np.repeat(population.genes, self._settings.children_per_parent, axis=0)
        genes = self._space.canonical(raw)
        statistics = np.array(self._count(genes), np.float64)
        inside = within(statistics, bounds)
        outside = np.flatnonzero(~inside)
        while len(outside):
            differs = raw[np.ix_(outside, columns)] != parents[np.ix_(outside, columns)]
            outside, differs = outside[differs.any(axis=1)], differs[differs.any(axis=1)]
            if not len(outside):
                break
            order = np.where(differs, priorities[np.ix_(outside, columns)], 1 << 16)
            chosen = columns[order.argmin(axis=1)]
            raw[outside, chosen] = parents[outside, chosen]
            genes[outside] = self._space.canonical(raw[outside])
            statistics[outside] = self._count(genes[outside])
            inside[outside] = within(statistics[outside], bounds)
            outside = outside[~inside[outside]]
        return genes[inside], statistics[inside]


def _threshold(probability: Floats) -> NDArray[np.int64]:
    return np.floor(np.clip(probability, 0.0, 1.0) * UNIT).astype(np.int64)


class ReferenceScorer(Scorer):
    """Scores computed by `surrogate_reference`."""

    def _prepare(self, counter: Statistics, weights: Weights) -> None:
        self._space, self._weights = counter.space, weights

    def _predict(self, genes: Genes, statistics: Floats) -> tuple[Floats, Floats]:
        return surrogate_reference(self._space, self._weights, genes, statistics)


class ReferenceEngine:
    """The numpy reference as the `engine` of `evolve` and `pareto`."""

    def scorer(self, source: Scoring | Score, counter: Statistics, caution: float) -> Scorer:
        """Return the scorer of candidates."""
        return ReferenceScorer(source, counter, caution)

    def run(
        self,
        counter: Statistics,
        scorer: Scorer,
        bounds: list[Bounds],
        starts: list[Genes],
        settings: Settings,
    ) -> list[dict[str, Any]]:
        """Evolve one population per budget and return the fields of each `Evolved` except its budget."""
        evolution = ReferenceEvolution(
            counter.space, lambda genes: count_statistics(counter, genes), scorer.scores, settings
        )
        results = []
        for start, budget in zip(starts, bounds, strict=True):
            population, history, num_offspring, num_evaluated = evolution.run(start, budget)
            results.append(
                {
                    "genes": population.genes,
                    "scores": population.scores,
                    "std": scorer.mean_and_std(population.genes, population.statistics)[1],
                    "statistics": population.statistics,
                    "history": np.array(history),
                    "num_offspring": num_offspring,
                    "num_evaluated": num_evaluated,
                }
            )
        return results
