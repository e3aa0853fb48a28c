"""Scores of candidates from a predictor or a function."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np

from narsfast import _native
from narsfast.errors import UserError
from narsfast.predictor import PredictorWeights, Statistics
from narsfast.space import Genes

from ._settings import Floats

Score = Callable[[Genes], Floats]
"""Canonical genes (n, F) int16 to scores (n,), higher is better."""


@runtime_checkable
class Scoring(Protocol):
    """What evolution needs of a predictor."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the statistics that it reads, in order."""
        ...

    def weights(self) -> PredictorWeights:
        """Its weights."""
        ...


class Scorer(ABC):
    """Scores from a predictor, computed by a subclass, or from a function.

    Attributes:
        columns: of the counter's statistics, those that the predictor reads.
        native: what compiled evolution takes as its scorer.
    """

    def __init__(self, source: Scoring | Score, counter: Statistics) -> None:
        self.columns: list[int] = []
        self.native: Any = None
        self._function: Score | None = None
        if not isinstance(source, Scoring):
            self._function = self.native = source
            return
        missing = [name for name in source.names if name not in counter.names]
        if missing:
            raise UserError(
                f"statistic {missing[0]!r} of the predictor is not counted; counted: {counter.names}"
            )
        self.columns = [counter.names.index(name) for name in source.names]
        self._prepare(counter, source.weights())

    def both(self, genes: Genes, statistics: Floats) -> tuple[Floats, Floats]:
        """Return mean and standard deviation, (n,) each."""
        if self._function is not None:
            return np.asarray(self._function(genes), np.float64), np.zeros(len(genes))
        return self._predict(genes, np.ascontiguousarray(statistics[:, self.columns], np.float64))

    def scores(self, genes: Genes, statistics: Floats) -> Floats:
        """Return means (n,)."""
        return self.both(genes, statistics)[0]

    @abstractmethod
    def _prepare(self, counter: Statistics, weights: PredictorWeights) -> None:
        """Take the weights of a predictor."""

    @abstractmethod
    def _predict(self, genes: Genes, statistics: Floats) -> tuple[Floats, Floats]:
        """Return mean and standard deviation by the predictor; statistics are those that it reads."""


class NativeScorer(Scorer):
    """Scores computed by compiled code."""

    def _prepare(self, counter: Statistics, weights: PredictorWeights) -> None:
        self.native = _native.Predictor(counter.space.tables(), weights)

    def _predict(self, genes: Genes, statistics: Floats) -> tuple[Floats, Floats]:
        mean, std = self.native.score(genes, statistics)
        return mean, std
