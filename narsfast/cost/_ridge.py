"""Ridge regression of the logarithm of times."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RIDGE = 1e-3
"""Penalty, per timed part (this project's choice)."""

Floats = NDArray[np.float64]


class Ridge:
    """A fitted regression.

    Args:
        inputs: Regressors (n, D).
        times: Positive numbers (n,).
    """

    def __init__(self, inputs: Floats, times: Floats) -> None:
        outputs = np.log(times)
        self._mean, self._std = inputs.mean(axis=0), inputs.std(axis=0)
        self._std[self._std < 1e-9] = 1
        scaled = (inputs - self._mean) / self._std
        gram = scaled.T @ scaled + RIDGE * len(inputs) * np.eye(scaled.shape[1])
        self._weights = np.linalg.solve(gram, scaled.T @ (outputs - outputs.mean()))
        self._outputs = outputs.mean(), outputs.min(), outputs.max()

    def __call__(self, inputs: Floats) -> Floats:
        """Predict times (m,) for regressors (m, D), within the range of those fitted."""
        mean, lowest, highest = self._outputs
        logs = (inputs - self._mean) / self._std @ self._weights + mean
        result: Floats = np.exp(np.clip(logs, lowest, highest))
        return result
