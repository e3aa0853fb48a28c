"""The covariance of the Gaussian process and its hyperparameters.

The latent accuracy is, in units of the standardized label, an intercept, a slope per statistic, and a smooth function of
the architecture and one of the recipe. Their prior deviations, the lengths and the distances' form are this project's
choice, found by simulation and on the tables of ``bench/tabular``.

With fewer than `MIN_FITTED` labels all hyperparameters but an unknown noise stay at their prior medians; from there on
they are those with the highest posterior density under log-normal priors, and each field has a relevance of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

ARCHITECTURE, RECIPE = (0.3, 1.5), (0.5, 1.0)
"""Deviation of the smooth function of a part, and the length of distances over which it changes."""
ALONE = 0.6
"""Deviation of the smooth function where one part alone is searched."""
SLOPE = 0.3
"""Deviation of a standardized statistic's slope."""
INTERCEPT = 1.0
"""Deviation of the intercept."""
NOISE = 0.5
"""Deviation of a label, where it is not known."""

MIN_FITTED = 24
"""Fewest labels to which hyperparameters other than an unknown noise are fitted."""
MAX_FITTED = 256
"""Most labels to which hyperparameters are fitted."""
SPREAD = 0.5
"""Prior deviation of the logarithms of deviations and lengths."""
RELEVANCE_SPREAD = 0.7
"""Prior deviation of the logarithms of relevances, and of an unknown noise."""
KNOWN_SPREAD = 0.2
"""Prior deviation of the logarithm of the factor on a known noise."""
LIMIT = 3.0
"""Largest distance of a logarithm from its prior mean, in prior deviations."""
MIN_NOISE = 0.05
"""Smallest deviation of a label; inference in float32 needs one."""
STEPS = 60


class Part(NamedTuple):
    """The hyperparameters of one part's smooth function: deviation, length, and relevances (K,) of its fields."""

    deviation: float
    length: float
    relevances: NDArray[np.float64]

    @property
    def rates(self) -> NDArray[np.float64]:
        """Factors (K,) from squared distances of the fields to the exponent, which has their mean."""
        return self.relevances / (2 * self.length**2 * max(len(self.relevances), 1))


@dataclass(frozen=True)
class Hyperparameters:
    """Everything that covariances depend on beside the candidates.

    Attributes:
        architecture: Of the smooth function of the architecture.
        recipe: Of the smooth function of the recipe.
        slope: Prior deviation of the slopes of statistics.
        noise: Factor on the deviations of labels.
    """

    architecture: Part
    recipe: Part
    slope: float
    noise: float

    @classmethod
    def medians(cls, fields: tuple[int, int]) -> Hyperparameters:
        """Return the prior medians for numbers of searched fields of architecture and recipe."""
        architecture, recipe = (
            Part(ALONE if 0 in fields else deviation, length, np.ones(count))
            for count, (deviation, length) in zip(fields, (ARCHITECTURE, RECIPE), strict=True)
        )
        return cls(architecture, recipe, SLOPE, 1.0)

    @property
    def logarithms(self) -> Tensor:
        """Return slope, noise, deviation and length of each part, and all relevances, as logarithms."""
        parts = (self.architecture, self.recipe)
        scalars = [self.slope, self.noise, *(value for part in parts for value in part[:2])]
        return torch.from_numpy(np.concatenate([scalars, *(part.relevances for part in parts)])).log()

    @classmethod
    def from_logarithms(cls, logarithms: Tensor, fields: int) -> Hyperparameters:
        """Return the inverse of `logarithms` for a number of searched fields of the architecture."""
        values = logarithms.exp().numpy()
        slope, noise, *scalars = values[:SCALARS].tolist()
        relevances = np.split(values[SCALARS:], [fields])
        architecture = Part(scalars[0], scalars[1], relevances[0])
        recipe = Part(scalars[2], scalars[3], relevances[1])
        return cls(architecture, recipe, slope, noise)


SCALARS = 6


def signal(logarithms: Tensor, distances: tuple[Tensor, Tensor], left: Tensor, right: Tensor) -> Tensor:
    """Return the prior covariance (n, m) of latent accuracies.

    Args:
        logarithms: `Hyperparameters.logarithms`.
        distances: Squared distances (K, n, m) of the fields of architecture and recipe.
        left: (n, S) standardized statistics.
        right: (m, S) standardized statistics.
    """
    values = logarithms.exp()
    total = INTERCEPT**2 + values[0].square() * (left @ right.T)
    first = SCALARS
    for part, own in enumerate(distances):
        deviation, length = values[2 + 2 * part], values[3 + 2 * part]
        relevances = values[first : first + len(own)]
        first += len(own)
        if len(own):
            exponent = torch.tensordot(relevances, own, dims=1) / (2 * length.square() * len(own))
            total = total + deviation.square() * (-exponent).exp()
    return total


@dataclass(frozen=True)
class Labeled:
    """What hyperparameters are fitted to, for n labels, float64.

    Attributes:
        distances: Squared distances (K, n, n) of the fields of architecture and recipe.
        z: (n, S) standardized statistics.
        residual: (n,) standardized labels less the prior mean.
        noise: (n,) deviations of the labels, known or assumed.
        known: Whether they are known.
    """

    distances: tuple[Tensor, Tensor]
    z: Tensor
    residual: Tensor
    noise: Tensor
    known: bool

    def take(self, rows: Tensor) -> Labeled:
        """Return some of the labels."""
        architecture, recipe = (own[:, rows][:, :, rows] for own in self.distances)
        parts = self.z[rows], self.residual[rows], self.noise[rows]
        return Labeled((architecture, recipe), *parts, self.known)

    def fit(self) -> Hyperparameters:
        """Return the hyperparameters of highest posterior density; those not to be fitted are the prior medians."""
        fields = len(self.distances[0]), len(self.distances[1])
        medians = Hyperparameters.medians(fields)
        mean = medians.logarithms
        spread = torch.full_like(mean, RELEVANCE_SPREAD)
        spread[:SCALARS] = SPREAD
        spread[1] = KNOWN_SPREAD if self.known else RELEVANCE_SPREAD
        fitted = torch.full(mean.shape, len(self.residual) >= MIN_FITTED)
        fitted[1] |= not self.known
        for place, is_there in (
            (0, self.z.shape[1]),
            (2, fields[0]),
            (3, fields[0]),
            (4, fields[1]),
            (5, fields[1]),
        ):
            fitted[place] &= is_there > 0
        if not fitted.any():
            return medians

        def loss(steps: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            offsets = torch.tensor(steps, requires_grad=True)
            moved = mean.index_put((fitted,), mean[fitted] + spread[fitted] * offsets)
            value = self._loss(moved) + offsets.square().sum() / 2
            (gradient,) = torch.autograd.grad(value, offsets)
            return value.item(), gradient.numpy()

        start = np.zeros(int(fitted.sum()))
        limits = [(-LIMIT, LIMIT)] * len(start)
        found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=limits, options={"maxiter": STEPS})
        best = mean.index_put((fitted,), mean[fitted] + spread[fitted] * torch.from_numpy(found.x))
        return Hyperparameters.from_logarithms(best, fields[0])

    def deviations(self, factor: Tensor) -> Tensor:
        """Return the deviations (n,) of the labels with a factor on them."""
        deviations: Tensor = (factor * self.noise).clamp_min(MIN_NOISE)
        return deviations

    def factorized(self, logarithms: Tensor) -> Tensor:
        """Return the lower triangular factor (n, n) of the covariance of the labels."""
        covariance = signal(logarithms, self.distances, self.z, self.z)
        noise = self.deviations(logarithms[1].exp())
        factor: Tensor = torch.linalg.cholesky(covariance + torch.diag(noise.square()))
        return factor

    def _loss(self, logarithms: Tensor) -> Tensor:
        """Return the negative log density of the labels, but for a constant."""
        factor = self.factorized(logarithms)
        whitened = torch.linalg.solve_triangular(factor, self.residual[:, None], upper=False)
        loss: Tensor = whitened.square().sum() / 2 + factor.diagonal().log().sum()
        return loss
