"""The weights of a fitted predictor as plain arrays: what native inference is handed once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
ArrayLayer = tuple[Floats, Floats]
"""Weight (M, in, out) and bias (M, out), float32, C-contiguous."""


LEAST_STATISTIC = 1e-3
"""Below it all statistics are the same to the predictor: counts are 1 and more, latencies above a microsecond."""


@dataclass(frozen=True)
class PredictorWeights:
    """Everything that inference needs, M members.

    The input z of a statistic is ``(log(max(statistic, 1e-3)) - statistic_mean) / statistic_std``. The encoder reads the
    architecture's features, with a ReLU after every layer; its last output is the embedding. The head reads
    embedding, z and the recipe's features side by side, with a ReLU between layers. Its output u is a standardized
    accuracy with a compressed lower tail: with the mean m of u over the members and their (population) variance v,
    the score is ``output_mean + output_scale * e(m)`` percent, where e(m) is m down to -1 and ``-exp(-1 - m)`` below;
    the uncertainty is ``output_scale * e'(m) * deviation_scale * sqrt(v + deviation_floor ** 2)`` percent.

    Attributes:
        statistic_mean: (S,) float32.
        statistic_std: (S,) float32, never 0.
        encoder: layers; empty where the space searches no architecture.
        head: layers, the last with one output.
        output_mean: percent.
        output_scale: percent.
        deviation_scale: what makes the members' deviation the one to expect of new labels.
        deviation_floor: least deviation of the members that is believed.
    """

    statistic_mean: Floats
    statistic_std: Floats
    encoder: list[ArrayLayer]
    head: list[ArrayLayer]
    output_mean: float
    output_scale: float
    deviation_scale: float
    deviation_floor: float
