"""The weights of a fitted predictor as plain arrays, for native inference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
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
