"""Scores of candidates by a predictor or a function."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np

from narsfast.errors import UserError
from narsfast.predictor import Statistics, Weights, native_surrogate
from narsfast.space import Genes

from ._settings import Floats

Score = Callable[[Genes], Floats]
"""A function from canonical genes (n, F) int16 to scores (n,); higher is better."""


@runtime_checkable
class Scoring(Protocol):
    """The interface of a predictor for evolution."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the statistics that are inputs, in order."""
        ...

    def weights(self) -> Weights:
        """Return the weights."""
        ...


class Scorer(ABC):
    """A scorer by a function, or by a predictor whose inference is implemented in a subclass.

    Attributes:
        caution: How many standard deviations of a prediction are taken off its mean.
        columns: Columns of the counter's statistics that are inputs of the predictor.
        native: The scorer for native evolution.
    """

    def __init__(self, source: Scoring | Score, counter: Statistics, caution: float) -> None:
        self.caution = caution
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

    def mean_and_std(self, genes: Genes, statistics: Floats) -> tuple[Floats, Floats]:
        """Return mean and standard deviation, (n,) each."""
        if self._function is not None:
            return np.asarray(self._function(genes), np.float64), np.zeros(len(genes))
        return self._predict(genes, np.ascontiguousarray(statistics[:, self.columns], np.float64))

    def scores(self, genes: Genes, statistics: Floats) -> Floats:
        """Return means less `caution` standard deviations, (n,)."""
        mean, std = self.mean_and_std(genes, statistics)
        return mean - self.caution * std if self.caution else mean

    @abstractmethod
    def _prepare(self, counter: Statistics, weights: Weights) -> None:
        """Prepare inference with the weights of a predictor."""

    @abstractmethod
    def _predict(self, genes: Genes, statistics: Floats) -> tuple[Floats, Floats]:
        """Predict mean and standard deviation, (n,) each, from genes and the statistics that are inputs."""


class NativeScorer(Scorer):
    """A scorer with native inference."""

    def _prepare(self, counter: Statistics, weights: Weights) -> None:
        self.native = native_surrogate(counter.space.tables(), weights)

    def _predict(self, genes: Genes, statistics: Floats) -> tuple[Floats, Floats]:
        mean, std = self.native.score(genes, statistics)
        return mean, std
