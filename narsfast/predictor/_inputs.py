"""The predictor's inputs for candidates: features of both parts, their order, and standardized statistics.

One-hot features do not represent the order of values such as 16, 32, 64. A field with ordered values therefore has one
more column with the rank of the value. As these columns are linear in the features, their weights can be folded into
those of the features (`fold_order`), and native inference does not need them. This is this project's choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from narsfast.space import Field, Genes, Space, feature_width

from ._weights import MIN_STATISTIC


class Statistics(Protocol):
    """The interface of a counter: a `narsfast.cost.Counter`, or any callable with names."""

    @property
    def space(self) -> Space:
        """The space of the genes."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        ...

    def __call__(self, genes: Genes, /) -> NDArray[Any]:
        """Count the statistics (n, len(names)) of canonical genes (n, F)."""
        ...


@dataclass(frozen=True)
class Scaling:
    """Standardization of statistics to z = (log(max(statistic, `MIN_STATISTIC`)) - mean) / std.

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
        """Return the scaling of the logarithms of statistics (n, S) to mean 0 and standard deviation 1."""
        varies = (statistics != statistics[:1]).any(axis=0)
        logs = _log(statistics)
        std = logs.std(axis=0)
        varies &= std > 0
        return cls(logs.mean(axis=0).astype(np.float32), np.where(varies, std, 1).astype(np.float32), varies)

    def __call__(self, statistics: NDArray[Any]) -> NDArray[np.float32]:
        """Standardize statistics (n, S) to (n, S) float32."""
        return ((_log(statistics) - self.mean) / self.std).astype(np.float32)


def _log(statistics: NDArray[Any]) -> NDArray[np.float64]:
    logs: NDArray[np.float64] = np.log(np.maximum(statistics, MIN_STATISTIC))
    return logs


def order_columns(space: Space, part: Literal["architecture", "recipe"]) -> Tensor:
    """Return the matrix (D, K) float32 from features of a part to ranks, -0.5 to 0.5, of its K ordered fields."""
    fields = [field for field in space.fields if field.part == part]
    widths = [feature_width(field) for field in fields]
    ordered = [number for number, field in enumerate(fields) if is_ordered(field)]
    columns = torch.zeros(sum(widths), len(ordered))
    for column, number in enumerate(ordered):
        start = sum(widths[:number])
        columns[start : start + widths[number], column] = torch.linspace(-0.5, 0.5, widths[number])
    return columns


def is_ordered(field: Field) -> bool:
    """Return whether a field is one-hot and has three or more numbers in ascending order."""
    if field.kind != "categorical" or len(field.values) < 3:
        return False
    numbers = [
        value for value in field.values if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    return len(numbers) == len(field.values) and numbers == sorted(numbers)


def fold_order(weight: Tensor, order: Tensor, first: int) -> Tensor:
    """Fold the weights of ranks into those of features, which gives equal products without the columns of ranks.

    Args:
        weight: Weights (M, in, out) of a first layer, whose last rows are those of D features and then of K ranks.
        order: (D, K), see `order_columns`.
        first: Row of the first feature.
    """
    features, ranks = torch.split(weight[:, first:], list(order.shape), dim=1)
    return torch.cat([weight[:, :first], features + order @ ranks], dim=1)


@dataclass(frozen=True)
class Inputs:
    """The inputs of the predictor for n candidates, float32.

    Attributes:
        architecture: (n, A), features of the architecture and ranks of its ordered fields.
        statistics: (n, S), standardized.
        recipe: (n, R), features of the recipe and ranks of its ordered fields.
    """

    architecture: Tensor
    statistics: Tensor
    recipe: Tensor

    @classmethod
    def of(cls, counter: Statistics, scaling: Scaling, genes: Genes) -> Inputs:
        """Return the inputs for canonical genes (n, F)."""
        return cls(
            _features(counter.space, genes, "architecture"),
            torch.from_numpy(scaling(counter(genes))),
            _features(counter.space, genes, "recipe"),
        )

    @property
    def direct(self) -> Tensor:
        """Inputs (n, S + R) of the accuracy head that bypass the encoder."""
        return torch.cat([self.statistics, self.recipe], dim=1)


def checked_labels(genes: ArrayLike, labels: ArrayLike) -> tuple[Genes, NDArray[np.float64]]:
    """Return genes (n, F) int16 and labels (n,) in percent.

    Raises:
        ValueError: There is no label, a label is not finite, or their number is not that of the genes.
    """
    array = np.asarray(genes, np.int16)
    percent = np.asarray(labels, np.float64)
    if (
        len(percent) == 0
        or percent.shape != (len(array),)
        or not np.isfinite(percent.astype(np.float32)).all()
    ):
        raise ValueError(
            f"labels have shape {percent.shape} for {len(array)} candidates; "
            "there must be one finite label per candidate, and at least one"
        )
    return array, percent


def _features(space: Space, genes: Genes, part: Literal["architecture", "recipe"]) -> Tensor:
    features = torch.from_numpy(space.features(genes, part))
    return torch.cat([features, features @ order_columns(space, part)], dim=1)
