"""Further statistics of a user's own: a constraint as soon as a budget bounds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narsfast.errors import UserError
from narsfast.predictor import Statistics
from narsfast.space import Genes, Space


class ExtendedCounter:
    """A counter with further columns, each by a function of many candidates; takes the place of the counter.

    A budget on such a column makes it a constraint of `evolve`, and `pareto` takes it as a statistic of the front.

    Attributes:
        counter: Counts the columns before.
        functions: Name to a function of canonical genes (n, F) int16 to (n,) numbers. The same candidate must always
            get the same number.
    """

    def __init__(self, counter: Statistics, functions: Mapping[str, Callable[[Genes], NDArray[Any]]]) -> None:
        for name in functions:
            if name in counter.names:
                raise UserError(f"statistic {name!r} is counted already; give the function another name")
        self.counter = counter
        self.functions = dict(functions)

    @property
    def space(self) -> Space:
        """The space whose genes are counted."""
        return self.counter.space

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the result's columns, the functions' last."""
        return (*self.counter.names, *self.functions)

    def further(self, genes: Genes) -> NDArray[np.float64]:
        """Canonical genes (n, F) int16 to what the functions say, (n, number of functions) float64.

        Raises:
            UserError: A function returned another shape, or a value that is not finite.
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
        """Canonical genes (n, F) int16 to statistics (n, len(names)) float64."""
        return np.concatenate([np.asarray(self.counter(genes), np.float64), self.further(genes)], axis=1)
