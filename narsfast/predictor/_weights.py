"""What native inference of a fitted surrogate needs, as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
ArrayLayer = tuple[Floats, Floats]
"""Weight (M, in, out) and bias (M, out), float32, C-contiguous."""


MIN_STATISTIC = 1e-3
"""Lower limit of statistics as inputs; counts are at least 1 and latencies above a microsecond."""


@dataclass(frozen=True)
class PredictorWeights:
    """All weights that inference needs, for M ensemble members.

    The input z of a statistic is ``(log(max(statistic, 1e-3)) - statistic_mean) / statistic_std``. The encoder maps the
    architecture's features to the embedding, with a ReLU after every layer. The head reads the concatenation of
    embedding, z and the recipe's features, with a ReLU between layers. Its output u is a standardized accuracy with a
    compressed lower tail: with the mean m of u over the members and their (population) variance v, the score is
    ``output_mean + output_scale * e(m)`` percent, where e(m) is m from -1 on and ``-exp(-1 - m)`` below; the
    uncertainty is ``output_scale * e'(m) * deviation_scale * sqrt(v + deviation_floor ** 2)`` percent.

    Attributes:
        statistic_mean: (S,) float32.
        statistic_std: (S,) float32, never 0.
        encoder: Layers of the encoder; none if the space searches no architecture.
        head: Layers of the accuracy head; the last has one output.
        output_mean: Percent.
        output_scale: Percent.
        deviation_scale: Factor that calibrates the ensemble's deviation to the errors on new labels.
        deviation_floor: Lower limit of the ensemble's deviation, in standardized outputs.
    """

    statistic_mean: Floats
    statistic_std: Floats
    encoder: list[ArrayLayer]
    head: list[ArrayLayer]
    output_mean: float
    output_scale: float
    deviation_scale: float
    deviation_floor: float


@dataclass(frozen=True)
class ProcessWeights:
    """All that inference of a Gaussian process needs, fitted to n labels.

    The input z of a statistic is that of `PredictorWeights`. The distances of a candidate from the labels are sums of
    one row of `distances` per searched field of a part: a field has a row for each of its values, in order, and one more
    for when it is inactive. The covariance with the labels is k, the sum over both parts of ``variances *
    exp(-distance)``; a part without searched fields adds nothing. The accuracy, standardized and with a compressed lower
    tail, has the mean ``intercept + slopes @ z + weights @ k`` and the variance ``sum(variances) + intercept_variance +
    slope_variances @ z ** 2`` less the squared length of ``whitening @ (k + intercept_variance + z @ linear)``. Percent
    follow as in `PredictorWeights`. Behind the S statistics, z has T sums over the rows of `sums` that the fields have.

    Attributes:
        statistic_mean: (S,) float32.
        statistic_std: (S,) float32, never 0.
        distances: (R, n) float32, for all fields of the space in order.
        sums: (R, T) float64, for all fields of the space in order; 0 for fields of one value.
        variances: (2,) float64, of architecture and recipe.
        weights: (n,) float64.
        intercept: Of the mean.
        slopes: (S + T,) float64, of the mean.
        intercept_variance: Prior variance of the intercept.
        slope_variances: (S + T,) float64, prior variances of the slopes.
        linear: (S + T, n) float32, by which z is covariant with that of the labels.
        whitening: (n, n) float32, lower triangular.
        output_mean: Percent.
        output_scale: Percent.
    """

    statistic_mean: Floats
    statistic_std: Floats
    distances: Floats
    sums: Doubles
    variances: Doubles
    weights: Doubles
    intercept: float
    slopes: Doubles
    intercept_variance: float
    slope_variances: Doubles
    linear: Floats
    whitening: Floats
    output_mean: float
    output_scale: float


@dataclass(frozen=True)
class MixtureWeights:
    """The parts of a mixture, whose prediction is that of one of them drawn with these shares.

    Attributes:
        parts: Of the same space and the same statistics.
        shares: They sum to 1.
    """

    parts: tuple[PredictorWeights | ProcessWeights, ...]
    shares: tuple[float, ...]


Weights = PredictorWeights | ProcessWeights | MixtureWeights
"""What native inference of a predictor needs."""
