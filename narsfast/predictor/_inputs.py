"""What the predictor reads of candidates: features of both parts, their order, and standardized statistics.

One-hot features say nothing of the order of values such as 16, 32, 64; for a field with ordered values one more column
holds the value's place. Native inference needs no such columns: they are linear in the features, so that their weights
are added to those of the features (`without_order`). That is our choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from narsfast.space import Field, Genes, Space, feature_width

from ._weights import LEAST_STATISTIC


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
    """Standardization of statistics: z = (log(max(statistic, `LEAST_STATISTIC`)) - mean) / std.

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
    logs: NDArray[np.float64] = np.log(np.maximum(statistics, LEAST_STATISTIC))
    return logs


def order_columns(space: Space, part: Literal["architecture", "recipe"]) -> Tensor:
    """(D, K) float32: features (n, D) of a part times it are the places, -0.5 to 0.5, of its K ordered fields."""
    fields = [field for field in space.fields if field.part == part]
    widths = [feature_width(field) for field in fields]
    ordered = [number for number, field in enumerate(fields) if _is_ordered(field)]
    columns = torch.zeros(sum(widths), len(ordered))
    for column, number in enumerate(ordered):
        start = sum(widths[:number])
        columns[start : start + widths[number], column] = torch.linspace(-0.5, 0.5, widths[number])
    return columns


def _is_ordered(field: Field) -> bool:
    """Whether a field of one-hot features has three or more numbers in ascending order."""
    if field.kind != "categorical" or len(field.values) < 3:
        return False
    numbers = [
        value for value in field.values if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    return len(numbers) == len(field.values) and numbers == sorted(numbers)


def without_order(weight: Tensor, order: Tensor, first: int) -> Tensor:
    """The first weights (M, in, out) of features and their order, as weights of the features alone.

    Args:
        weight: rows from `first` on are those of D features and of K places, in this order; they are the last.
        order: (D, K), see `order_columns`.
        first: row of the first feature.
    """
    features, places = torch.split(weight[:, first:], list(order.shape), dim=1)
    return torch.cat([weight[:, :first], features + order @ places], dim=1)


@dataclass(frozen=True)
class Inputs:
    """The predictor's inputs for n candidates, float32.

    Attributes:
        architecture: (n, A) features of the architecture and their order.
        statistics: (n, S) standardized.
        recipe: (n, R) features of the recipe and their order.
    """

    architecture: Tensor
    statistics: Tensor
    recipe: Tensor

    @classmethod
    def of(cls, counter: Statistics, scaling: Scaling, genes: Genes) -> Inputs:
        """Inputs of canonical genes (n, F)."""
        return cls(
            _features(counter.space, genes, "architecture"),
            torch.from_numpy(scaling(counter(genes))),
            _features(counter.space, genes, "recipe"),
        )

    @property
    def beside(self) -> Tensor:
        """(n, S + R): what the accuracy head reads beside the embedding."""
        return torch.cat([self.statistics, self.recipe], dim=1)


def _features(space: Space, genes: Genes, part: Literal["architecture", "recipe"]) -> Tensor:
    features = torch.from_numpy(space.features(genes, part))
    return torch.cat([features, features @ order_columns(space, part)], dim=1)
