"""What the predictor reads of candidates: features of both parts, and standardised statistics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from narsfast.space import Genes, Space


class Statistics(Protocol):
    """What the predictor needs of a counter: a `narsfast.cost.Counter`, or any callable with names."""

    @property
    def space(self) -> Space:
        """The space of the genes."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        ...

    def __call__(self, genes: Genes, /) -> NDArray[Any]:
        """Canonical genes (n, F) to statistics (n, len(names))."""
        ...


@dataclass(frozen=True)
class Scaling:
    """Standardisation of statistics: z = (log(max(statistic, 1)) - mean) / std.

    Attributes:
        mean: (S,) float32.
        std: (S,) float32; 1 where the statistic is constant.
        varies: (S,) bool, whether the statistic is not constant.
    """

    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    varies: NDArray[np.bool_]

    @classmethod
    def of(cls, statistics: NDArray[Any]) -> Scaling:
        """The scaling of (n, S) statistics to mean 0 and standard deviation 1 in the logarithm."""
        varies = (statistics != statistics[:1]).any(axis=0)
        logs = _log(statistics)
        std = logs.std(axis=0)
        varies &= std > 0
        return cls(logs.mean(axis=0).astype(np.float32), np.where(varies, std, 1).astype(np.float32), varies)

    def __call__(self, statistics: NDArray[Any]) -> NDArray[np.float32]:
        """(n, S) statistics to (n, S) float32."""
        return ((_log(statistics) - self.mean) / self.std).astype(np.float32)


def _log(statistics: NDArray[Any]) -> NDArray[np.float64]:
    logs: NDArray[np.float64] = np.log(np.maximum(statistics, 1.0))
    return logs


@dataclass(frozen=True)
class Inputs:
    """The predictor's inputs for n candidates, float32.

    Attributes:
        architecture: (n, A) features of the architecture.
        statistics: (n, S) standardised.
        recipe: (n, R) features of the recipe.
    """

    architecture: Tensor
    statistics: Tensor
    recipe: Tensor

    @classmethod
    def of(cls, counter: Statistics, scaling: Scaling, genes: Genes) -> Inputs:
        """Inputs of canonical genes (n, F)."""
        return cls(
            torch.from_numpy(counter.space.features(genes, "architecture")),
            torch.from_numpy(scaling(counter(genes))),
            torch.from_numpy(counter.space.features(genes, "recipe")),
        )

    @property
    def beside(self) -> Tensor:
        """(n, S + R): what the accuracy head reads beside the embedding."""
        return torch.cat([self.statistics, self.recipe], dim=1)
