"""A Gaussian process over the predictor's inputs, for few and noisy labels.

The network learns from hundreds of labels what candidates are like; with a few dozen noisy ones it does not know that
more multiply-adds are better. The process starts from that, and knows how far a candidate is from the labeled ones
(Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006). Covariance and prior, the labels' scale and
their noise are this project's choice.

Labels are standardized robustly and their lower tail is compressed, as for the network (`_targets`): differences between
bad candidates matter little, and labels of trials that did not end well are a guess.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from narsfast.common.threads import torch_threads
from narsfast.space import Genes, Space

from ._covariance import INTERCEPT, MAX_FITTED, NOISE, Hyperparameters, Labeled, signal
from ._inference import native_surrogate
from ._inputs import Scaling, Statistics, checked_labels
from ._metric import Metric, codes
from ._prior import SPREAD, Prior
from ._stages import gene_rows, num_rows, stage_table
from ._targets import compress, expand, upper_center_and_scale
from ._weights import ProcessWeights

Floats = NDArray[np.float64]

MACS_SLOPE = 0.4
"""Prior mean of the slope of standardized log MACs, in standardized labels; that of other statistics is 0."""
STAGE_SLOPE = 0.7
"""Prior deviation of the slope of a stage's size, relative to that of a statistic."""
MAX_LABELS = 2048
"""Most labels that are learned, as the time to learn n grows with their cube and that of a prediction with their square
(this project's choice)."""
SEEDS = 1.0
"""Standard deviation over seeds in percent (this project's choice; `narsfast.common.label_noise` has a measured one)."""
SAMPLING = 0.6
"""Share of the binomial variance of a validation split by which repeated labels differ; the images are the same ones."""


@dataclass(frozen=True)
class Noise:
    """How far a label is from the accuracy of its candidate.

    Attributes:
        images: Number of validation images.
        seeds: Standard deviation over training seeds, percent.
    """

    images: int
    seeds: float = SEEDS

    def variance(self, labels: Floats) -> Floats:
        """Return the variance (n,) of labels (n,) in percent, as if one more image were right and one more wrong."""
        share = (np.clip(labels, 0, 100) / 100 * self.images + 1) / (self.images + 2)
        return self.seeds**2 + SAMPLING * 100**2 * share * (1 - share) / self.images


@dataclass(frozen=True)
class LeaveOneOut:
    """Predictions of each label from all others, (n,) each, in the order of the labels.

    Attributes:
        mean: Percent.
        std: Percent, of the latent accuracy.
        log_density: Logarithm of the density of the noisy label, per percent.
    """

    mean: Floats
    std: Floats
    log_density: Floats


class ProcessInputs(NamedTuple):
    """What the process sees of n candidates: codes (n, F), and z (n, S + T) float64 of statistics and stages."""

    codes: Genes
    z: Tensor


@dataclass(frozen=True, eq=False)
class Posterior:
    """What a process learned from n labels, in standardized and compressed units; tensors are float64.

    Attributes:
        inputs: Of the labeled candidates.
        hyper: The hyperparameters.
        center: Of the labels, percent.
        scale: Of the labels, percent.
        targets: (n,) labels.
        noise: (n,) deviations of the labels.
        weights: (n,) the inverse of the labels' covariance times what the prior mean leaves of them.
        factor: (n, n) lower triangular; the product with its transpose is the labels' covariance.
        places: (n,) where each of the labels is, in the order of `fit`.
        some: Whether there were more labels than were learned.
    """

    inputs: ProcessInputs
    hyper: Hyperparameters
    center: float
    scale: float
    targets: Tensor
    noise: Tensor
    weights: Tensor
    factor: Tensor
    places: NDArray[np.int64]
    some: bool = False


@dataclass(frozen=True, eq=False)
class Process:
    """An immutable Gaussian process of the accuracy of candidates in percent; fitted by `fit`.

    Attributes:
        counter: Counter of the statistics that are inputs.
        scaling: Standardization of the statistics.
        stages: (rows, T) float64, see `stage_table`.
        noise: Noise of the labels; None where it is unknown and estimated.
        prior: What earlier trainings say of recipes; None is nothing.
        posterior: What was learned by the last fit, or None.
    """

    counter: Statistics
    scaling: Scaling
    stages: Floats
    noise: Noise | None = None
    prior: Prior | None = None
    posterior: Posterior | None = None

    @classmethod
    def of(
        cls, counter: Statistics, genes: ArrayLike, noise: Noise | None = None, prior: Prior | None = None
    ) -> Process:
        """Return a process that is not fitted; the statistics of canonical genes (n, F) determine the scaling."""
        array = np.asarray(genes, np.int16)
        stages = stage_table(counter.space, array)
        if prior is not None:  # one more sum over the genes, with a slope that is not about 0
            column = SPREAD / STAGE_SLOPE * prior.column(counter.space)
            stages = np.concatenate([stages, column[:, None]], axis=1)
        return cls(counter, Scaling.of(counter(array)), stages, noise, prior)

    @property
    def space(self) -> Space:
        """The space whose candidates are predicted."""
        return self.counter.space

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the statistics that are inputs, in order."""
        return self.counter.names

    def fit(self, genes: ArrayLike, labels: ArrayLike, seed: int) -> Process:
        """Fit the process to labels; earlier fits have no influence.

        Of more than `MAX_LABELS` it learns the better half of so many, and others evenly drawn from the rest.

        Nothing is drawn at random, and the order of the labels has no influence. The fit runs on one thread.

        Args:
            genes: (n, F) canonical, n at least 1; candidates may repeat.
            labels: (n,) accuracy in percent.
            seed: Without influence; the network's fit has one.

        Returns:
            The fitted process.

        Raises:
            ValueError: There is no label, a label is not finite, or their number is not that of the genes.
        """
        array, percent = checked_labels(genes, labels)
        order = np.lexsort((percent, self.space.keys(array)))
        if len(order) > MAX_LABELS:
            best = np.argsort(-percent[order], kind="stable")
            half = MAX_LABELS // 2
            evenly = np.linspace(half, len(best) - 1, MAX_LABELS - half).astype(np.int64)
            order = order[np.sort(np.concatenate([best[:half], best[evenly]]))]
        with torch_threads(1):
            learned = self._learned(array[order], percent[order], np.argsort(order))
        return replace(self, posterior=replace(learned, some=len(order) < len(array)))

    def _learned(self, genes: Genes, labels: Floats, places: NDArray[np.int64]) -> Posterior:
        center, scale = (float(value) for value in upper_center_and_scale(torch.from_numpy(labels)))
        targets = compress(torch.from_numpy((labels - center) / scale))
        _, slope = expand(targets.numpy())
        if self.noise is None:
            noise = torch.full_like(targets, NOISE)
        else:
            noise = torch.from_numpy(np.sqrt(self.noise.variance(labels)) / (scale * slope))
        of_candidates = self._inputs(genes)
        residual = targets - of_candidates.z @ self._slopes
        known = self.noise is not None
        labeled = Labeled(
            _distances(self._metrics, of_candidates, of_candidates), of_candidates.z, residual, noise, known
        )
        chosen = torch.linspace(0, len(labels) - 1, min(len(labels), MAX_FITTED)).long()  # sorted by key: any
        hyper = labeled.take(chosen).fit()
        factor = labeled.factorized(hyper.logarithms)
        weights = torch.cholesky_solve(residual[:, None], factor)[:, 0]
        deviations = labeled.deviations(torch.tensor(hyper.noise))
        return Posterior(of_candidates, hyper, center, scale, targets, deviations, weights, factor, places)

    def predict(self, genes: ArrayLike) -> tuple[Floats, Floats]:
        """Predict the latent accuracy and its standard deviation, (n,) each in percent, for canonical genes (n, F).

        Inference is native; a candidate's result depends neither on the other candidates nor on the number of threads.

        Raises:
            RuntimeError: The process is not fitted.
        """
        array = np.ascontiguousarray(genes, np.int16)
        mean, std = self._native.score(array, np.ascontiguousarray(self.counter(array), np.float64))
        return mean, std

    def scores(self, genes: ArrayLike) -> Floats:
        """Return the accuracies of `predict`, (n,) percent, by which candidates are ranked."""
        return self.predict(genes)[0]

    def joint(self, genes: ArrayLike) -> tuple[Floats, Floats]:
        """Predict the latent accuracies of few candidates together: mean (n,) in percent, covariance (n, n).

        Far below the median label, where labels are compressed, the covariance is linearized at the mean.

        Raises:
            RuntimeError: The process is not fitted.
        """
        learned = self._fitted()
        own = self._inputs(np.asarray(genes, np.int16))
        with torch_threads(1):
            logarithms = learned.hyper.logarithms
            cross = signal(
                logarithms, _distances(self._metrics, own, learned.inputs), own.z, learned.inputs.z
            )
            prior = signal(logarithms, _distances(self._metrics, own, own), own.z, own.z)
            whitened = torch.linalg.solve_triangular(learned.factor, cross.T, upper=False)
            mean, slope = expand((own.z @ self._slopes + cross @ learned.weights).numpy())
            covariance = (prior - whitened.T @ whitened).numpy()
        scaled = learned.scale * slope
        return learned.center + learned.scale * mean, covariance * scaled[:, None] * scaled[None, :]

    def leave_one_out(self) -> LeaveOneOut:
        """Predict each label from all others, with the hyperparameters and the scale of all (in closed form).

        Raises:
            RuntimeError: The process is not fitted, or to some of the labels only (`MAX_LABELS`).
        """
        learned = self._fitted()
        if learned.some:
            raise RuntimeError("the process has learned some of the labels, and cannot predict each of them")
        with torch_threads(1):
            variance = 1 / torch.cholesky_inverse(learned.factor).diagonal()
        errors = learned.weights * variance
        latent = (variance - learned.noise.square()).clamp_min(0)
        mean, slope = expand((learned.targets - errors).numpy())
        _, label_slope = expand(learned.targets.numpy())
        density = -(errors.square() / variance + (2 * math.pi * variance).log()) / 2
        found = LeaveOneOut(
            learned.center + learned.scale * mean,
            learned.scale * slope * latent.sqrt().numpy(),
            density.numpy() - np.log(learned.scale * label_slope),
        )
        return LeaveOneOut(*(values[learned.places] for values in (found.mean, found.std, found.log_density)))

    def weights(self) -> ProcessWeights:
        """Return what inference needs, as arrays.

        Raises:
            RuntimeError: The process is not fitted.
        """
        learned = self._fitted()
        hyper, (labeled, z) = learned.hyper, learned.inputs
        parts = tuple(zip(self._metrics, (hyper.architecture, hyper.recipe), strict=True))
        first_rows = gene_rows(self.space, np.zeros_like(labeled[:1]))[0]
        distances = np.zeros((num_rows(self.space), len(labeled)), np.float32)
        for metric, part in parts:
            for column, table, rate in zip(metric.columns, metric.tables, part.rates, strict=True):
                distances[first_rows[column] :][: len(table)] = rate * table[:, labeled[:, column]]
        varies = np.concatenate([self.scaling.varies, np.ones(self.stages.shape[1])])
        slope_variances: Floats = hyper.slope**2 * varies
        linear = slope_variances[:, None] * z.numpy().T
        with torch_threads(1):
            identity = torch.eye(len(labeled), dtype=torch.float64)
            whitening = torch.linalg.solve_triangular(learned.factor, identity, upper=False)
        weights = learned.weights.numpy()
        return ProcessWeights(
            self.scaling.mean,
            self.scaling.std,
            distances,
            STAGE_SLOPE * self.stages,
            np.array([part.deviation**2 if len(metric.columns) else 0.0 for metric, part in parts]),
            weights,
            INTERCEPT**2 * float(weights.sum()),
            self._slopes.numpy() * varies + linear @ weights,
            INTERCEPT**2,
            slope_variances,
            linear.astype(np.float32),
            whitening.numpy().astype(np.float32),
            learned.center,
            learned.scale,
        )

    @cached_property
    def _native(self) -> Any:
        return native_surrogate(self.space.tables(), self.weights())

    def compressed(self, percent: Floats) -> Floats:
        """Return accuracies (n,) in the standardized and compressed units of the fit.

        Raises:
            RuntimeError: The process is not fitted.
        """
        learned = self._fitted()
        return compress(torch.from_numpy((percent - learned.center) / learned.scale)).numpy()

    def _fitted(self) -> Posterior:
        if self.posterior is None:
            raise RuntimeError("the process is not fitted; call fit first")
        return self.posterior

    @cached_property
    def _metrics(self) -> tuple[Metric, Metric]:
        return Metric.of(self.space, "architecture"), Metric.of(self.space, "recipe")

    @cached_property
    def _slopes(self) -> Tensor:
        """Prior means (S + T,) of the slopes of statistics and stages."""
        known = {"macs": MACS_SLOPE} | dict(self.prior.slopes if self.prior is not None else {})
        means = [known.get(name, 0.0) for name in self.names] + [0.0] * self.stages.shape[1]
        if self.prior is not None:
            means[-1] = 1 / SPREAD
        return torch.tensor(means, dtype=torch.float64)

    def _inputs(self, genes: Genes) -> ProcessInputs:
        coded = codes(self.space, genes)
        z = self.scaling(self.counter(genes)).astype(np.float64) * self.scaling.varies
        sizes = STAGE_SLOPE * self.stages[gene_rows(self.space, coded)].sum(axis=1)
        return ProcessInputs(coded, torch.from_numpy(np.concatenate([z, sizes], axis=1)))


def _distances(
    metrics: tuple[Metric, Metric], left: ProcessInputs, right: ProcessInputs
) -> tuple[Tensor, Tensor]:
    architecture, recipe = (torch.from_numpy(metric.distances(left.codes, right.codes)) for metric in metrics)
    return architecture, recipe
