"""Process and network as one predictor: the process with few labels, a mixture of both with more.

The network's share is found by stacking (Breiman 1996): of all mixtures of both means, the one that gives the labels
the highest density when each is predicted by fits to others, with one deviation for all of them. Half of the share's
standard error is taken off, so that few labels do not give the network a share by chance. On tables of trainings that is
better than either alone where they are close, and seldom worse than the process; to hand over to whichever states the
higher density is worse, as the network states its deviations too wide. All of this is this project's choice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from narsfast.common.seeds import derive_seed
from narsfast.space import Space

from ._inference import native_surrogate
from ._predictor import Predictor
from ._process import MAX_LABELS, Process
from ._validation import CrossValidation
from ._weights import MixtureWeights, PredictorWeights, ProcessWeights

Floats = NDArray[np.float64]

MIN_MIXED = 48
"""Fewest labels with which the network is fitted; with fewer it is seldom better, and takes a hundred times as long."""
ERRORS_OFF = 0.5
"""Standard errors that are taken off the network's share."""


@dataclass(frozen=True, eq=False)
class Surrogate:
    """An immutable mixture of a process and a network, fitted by `fit`; both count the same statistics.

    Attributes:
        process: The Gaussian process.
        network: The network.
        share: Of the network in a prediction, 0 to 1.
        validation: Cross-validation of the network, if it was fitted.
    """

    process: Process
    network: Predictor
    share: float = 0.0
    validation: CrossValidation | None = None

    @property
    def space(self) -> Space:
        """The space whose candidates are predicted."""
        return self.process.space

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the statistics that are inputs, in order."""
        return self.process.names

    def fit(self, genes: ArrayLike, labels: ArrayLike, seed: int) -> Surrogate:
        """Fit process and, with enough labels, network; arguments and errors are those of `Process.fit`.

        With more labels than a process learns (`MAX_LABELS`) the network predicts alone.
        """
        process, count = self.process.fit(genes, labels, seed), len(np.asarray(labels))
        if count < MIN_MIXED:
            return replace(self, process=process, share=0.0, validation=None)
        validation = self.network.cross_validate(genes, labels, derive_seed(seed, "validation"))
        share = (
            1.0 if count > MAX_LABELS else network_share(process, validation, np.asarray(labels, np.float64))
        )
        network = self.network
        if share > 0:
            network = network.fit(genes, labels, seed).calibrated(validation)
        return Surrogate(process, network, share, validation)

    def predict(self, genes: ArrayLike) -> tuple[Floats, Floats]:
        """Predict accuracy and standard deviation, (n,) each in percent, for canonical genes (n, F).

        The deviation is that of the process, widened by how far the network is from it, and by the network's own.

        Raises:
            RuntimeError: It is not fitted.
        """
        array = np.ascontiguousarray(genes, np.int16)
        mean, std = self._native.score(array, np.ascontiguousarray(self.process.counter(array), np.float64))
        return mean, std

    def scores(self, genes: ArrayLike) -> Floats:
        """Return the accuracies of `predict`, (n,) percent, by which candidates are ranked."""
        return self.predict(genes)[0]

    def weights(self) -> MixtureWeights | PredictorWeights | ProcessWeights:
        """Return what inference needs, as arrays.

        Raises:
            RuntimeError: It is not fitted.
        """
        if self.share == 0:
            return self.process.weights()
        if self.share == 1:
            return self.network.weights()
        return MixtureWeights((self.process.weights(), self.network.weights()), (1 - self.share, self.share))

    @cached_property
    def _native(self) -> Any:
        return native_surrogate(self.space.tables(), self.weights())


def network_share(process: Process, validation: CrossValidation, labels: Floats) -> float:
    """Return the network's share, 0 to 1, by predictions of labels (n,) from others.

    Args:
        process: Fitted to the labels.
        validation: Of the network on the same labels, at least as many as it has folds for.
        labels: Percent, in the order of the fits.
    """
    own = process.compressed(process.leave_one_out().mean)
    errors = process.compressed(labels) - own
    apart = process.compressed(validation.means) - own
    distance = float(apart @ apart)
    if distance == 0:
        return 0.0
    best = float(errors @ apart) / distance
    left = errors - np.clip(best, 0, 1) * apart
    error = float(np.sqrt(np.mean(left**2) / distance))
    return float(np.clip(best - ERRORS_OFF * error, 0, 1))
