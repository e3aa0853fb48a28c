"""Statistics that users define as functions, which budgets can bound."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narsfast.errors import UserError
from narsfast.predictor import Statistics
from narsfast.space import Genes, Space


class ExtendedCounter:
    """A counter with additional statistics, each computed by a function of many candidates.

    A budget on such a statistic makes it a constraint of `evolve`, and `pareto` can minimize it.

    Attributes:
        counter: Counter of the first columns.
        functions: Functions by the names of their statistics, from canonical genes (n, F) int16 to numbers (n,). They
            must always return the same number for the same candidate.
    """

    def __init__(self, counter: Statistics, functions: Mapping[str, Callable[[Genes], NDArray[Any]]]) -> None:
        for name in functions:
            if name in counter.names:
                raise UserError(f"statistic {name!r} is counted already; give the function another name")
        self.counter = counter
        self.functions = dict(functions)

    @property
    def space(self) -> Space:
        """The space of the genes."""
        return self.counter.space

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns of the result; those of the functions are the last."""
        return (*self.counter.names, *self.functions)

    def extra(self, genes: Genes) -> NDArray[np.float64]:
        """Compute the additional statistics, (n, number of functions) float64, of canonical genes (n, F) int16.

        Raises:
            UserError: A function returned a wrong shape or a value that is not finite.
        """
        out = np.empty((len(genes), len(self.functions)))
        for column, (name, function) in enumerate(self.functions.items()):
            values = np.asarray(function(genes), np.float64)
            if values.shape != (len(genes),) or not np.isfinite(values).all():
                raise UserError(
                    f"statistic {name!r}: the function returned shape {values.shape} for {len(genes)} candidates; "
                    "it should return one finite number each"
                )
            out[:, column] = values
        return out

    def __call__(self, genes: Genes) -> NDArray[np.float64]:
        """Count the statistics (n, len(names)) float64 of canonical genes (n, F) int16."""
        return np.concatenate([np.asarray(self.counter(genes), np.float64), self.extra(genes)], axis=1)
