"""The numpy reference of native inference of every kind of surrogate, written for readability."""

from __future__ import annotations

import numpy as np

from narsfast.predictor import MIN_STATISTIC, MixtureWeights, PredictorWeights, ProcessWeights, Weights
from narsfast.space import Genes, Space

from ._settings import Floats

MAX_EXPONENT = 50.0
"""Largest exponent of the lower tail, so that scores are finite."""
MIN_VARIANCE = 1e-12
"""Rounding can leave less than 0 of a variance."""


def surrogate_reference(
    space: Space, weights: Weights, genes: Genes, statistics: Floats
) -> tuple[Floats, Floats]:
    """Predict mean and standard deviation, both (n,) float64 in percent.

    Args:
        space: The space of the genes.
        weights: Weights of any kind.
        genes: (n, F) canonical.
        statistics: (n, S), the statistics that are inputs.
    """
    if isinstance(weights, PredictorWeights):
        return predict_reference(space, weights, genes, statistics)
    if isinstance(weights, ProcessWeights):
        return process_reference(space, weights, genes, statistics)
    return mixture_reference(space, weights, genes, statistics)


def predict_reference(
    space: Space, weights: PredictorWeights, genes: Genes, statistics: Floats
) -> tuple[Floats, Floats]:
    """Predict mean and standard deviation by the network, both (n,) float64 in percent.

    Args:
        space: The space of the genes.
        weights: Weights of the predictor.
        genes: (n, F) canonical.
        statistics: (n, S), the statistics that are inputs of the predictor.
    """
    z = _standardized(weights, statistics).astype(np.float32)
    recipe = space.features(genes, "recipe")
    values = []
    for member in range(len(weights.head[0][0])):
        hidden = space.features(genes, "architecture")
        for matrix, bias in weights.encoder:
            hidden = np.maximum(hidden @ matrix[member] + bias[member], 0)
        hidden = np.concatenate([hidden, z, recipe] if weights.encoder else [z, recipe], axis=1)
        for layer, (matrix, bias) in enumerate(weights.head):
            hidden = hidden @ matrix[member] + bias[member]
            if layer + 1 < len(weights.head):
                hidden = np.maximum(hidden, 0)
        values.append(hidden[:, 0].astype(np.float64))
    deviation = weights.deviation_scale * np.sqrt(np.var(values, axis=0) + weights.deviation_floor**2)
    return _percent(weights, np.mean(values, axis=0), deviation)


def process_reference(
    space: Space, weights: ProcessWeights, genes: Genes, statistics: Floats
) -> tuple[Floats, Floats]:
    """Predict mean and standard deviation by the process; arguments and result are those of `surrogate_reference`."""
    sums = np.zeros((len(genes), weights.sums.shape[1]))
    active = space.active(genes)
    distances = np.zeros((2, len(genes), len(weights.weights)))
    covariance = np.zeros(distances.shape[1:])
    row = 0
    for number, field in enumerate(space.fields):
        size = len(field.values)
        rows = row + np.where(active[:, number], genes[:, number], size)
        sums += weights.sums[rows]
        distances[int(field.part == "recipe")] += weights.distances[rows].astype(np.float64) * (size > 1)
        row += size + 1
    for variance, distance in zip(weights.variances, distances, strict=True):
        covariance += variance * np.exp(-distance)
    z = np.concatenate([_standardized(weights, statistics), sums], axis=1)
    mean = weights.intercept + z @ weights.slopes + covariance @ weights.weights
    prior = weights.variances.sum() + weights.intercept_variance + z**2 @ weights.slope_variances
    covariance = covariance + weights.intercept_variance + z @ weights.linear.astype(np.float64)
    explained = np.square(covariance @ weights.whitening.T.astype(np.float64)).sum(axis=1)
    return _percent(weights, mean, np.sqrt(np.maximum(prior - explained, MIN_VARIANCE)))


def mixture_reference(
    space: Space, weights: MixtureWeights, genes: Genes, statistics: Floats
) -> tuple[Floats, Floats]:
    """Predict mean and standard deviation by a mixture; arguments and result are those of `surrogate_reference`."""
    parts = [surrogate_reference(space, part, genes, statistics) for part in weights.parts]
    means, deviations = (np.array(of_parts) for of_parts in zip(*parts, strict=True))
    shares = np.array(weights.shares)
    mean = shares @ means
    return mean, np.sqrt(shares @ (deviations**2 + (means - mean) ** 2))


def _standardized(weights: PredictorWeights | ProcessWeights, statistics: Floats) -> Floats:
    std = np.where(weights.statistic_std == 0, 1, weights.statistic_std)
    z: Floats = (np.log(np.maximum(statistics, MIN_STATISTIC)) - weights.statistic_mean) / std
    return z


def _percent(
    weights: PredictorWeights | ProcessWeights, mean: Floats, deviation: Floats
) -> tuple[Floats, Floats]:
    """Expand standardized and compressed outputs."""
    slope = np.exp(np.clip(-1 - mean, 0, MAX_EXPONENT))
    score = weights.output_mean + weights.output_scale * np.where(mean < -1, -slope, mean)
    return score, weights.output_scale * slope * deviation
