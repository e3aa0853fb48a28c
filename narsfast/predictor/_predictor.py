"""The accuracy predictor, which scores architecture and recipe jointly and is pretrained on statistics.

This is FBNetV3's idea. The networks, the place where the recipe enters, the ensemble, the statistics as inputs of the
accuracy head, and all sizes are this project's choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from narsfast.common.progress import Progress, silent
from narsfast.common.seeds import derive_seed
from narsfast.common.threads import torch_threads
from narsfast.errors import UserError
from narsfast.space import Space

from ._fitting import Fitted, fit_members
from ._inference import native_surrogate
from ._inputs import Inputs, Scaling, Statistics, checked_labels, fold_order, order_columns
from ._network import Layer, new_layers
from ._pretraining import PretrainingReport, ProxyTask, pretrain_encoder
from ._validation import CrossValidation, Deviation, cross_validate
from ._weights import ArrayLayer, PredictorWeights

MEMBERS = 4
ENCODER = (256, 64)
HEAD = (64, 64)
MIN_CANDIDATES = 5
"""Fewest candidates for pretraining, so that one can be held out."""


@dataclass(frozen=True, eq=False)
class Predictor:
    """An immutable predictor of the accuracy of candidates in percent; built by `pretrain`, fitted by `fit`.

    Attributes:
        counter: Counter of the statistics that are inputs.
        scaling: Standardization of the statistics.
        members: Number of ensemble members (M).
        encoder: Pretrained layers of the encoder; none if the space searches no architecture.
        proxy: Layers of the linear proxy head; none without pretraining.
        head_widths: Hidden widths of the accuracy head.
        pretraining: Errors of the statistics on held-out candidates.
        fitted: Weights after the last fit, or None.
        deviation: Calibration of the ensemble's deviation to that of labels.
    """

    counter: Statistics
    scaling: Scaling
    members: int
    encoder: tuple[Layer, ...] = field(repr=False)
    proxy: tuple[Layer, ...] = field(repr=False)
    head_widths: tuple[int, ...]
    pretraining: PretrainingReport
    fitted: Fitted | None = field(default=None, repr=False)
    deviation: Deviation = field(default_factory=Deviation)

    @property
    def space(self) -> Space:
        """The space whose candidates are predicted."""
        return self.counter.space

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the statistics that are inputs, in order."""
        return self.counter.names

    def fit(self, genes: ArrayLike, labels: ArrayLike, seed: int) -> Predictor:
        """Fit the predictor to labels, starting from the pretrained weights; earlier fits have no influence.

        The encoder is frozen first, then all layers are trained at a lower rate. The fit runs on one thread, and equal
        arguments give equal weights.

        Args:
            genes: (n, F) canonical, n at least 1.
            labels: (n,) accuracy in percent.
            seed: Seed of the initial weights and of the order of samples.

        Returns:
            The fitted predictor.

        Raises:
            ValueError: There is no label, a label is not finite, or their number is not that of the genes.
        """
        inputs, percent = self.training_set(genes, labels)
        every_row = torch.arange(len(percent))
        generator = torch.Generator().manual_seed(derive_seed(seed, "fit"))
        with torch_threads(1):
            fitted = fit_members(
                self.encoder, self.head_widths, inputs, percent, [every_row] * self.members, generator
            )
        return replace(self, fitted=fitted, deviation=Deviation())

    def cross_validate(self, genes: ArrayLike, labels: ArrayLike, seed: int) -> CrossValidation:
        """Predict each label by fits to other labels; arguments and errors are those of `fit`."""
        inputs, percent = self.training_set(genes, labels)
        return cross_validate(self.encoder, self.head_widths, self.members, inputs, percent, seed)

    def calibrated(self, validation: CrossValidation) -> Predictor:
        """Return the predictor with its uncertainty calibrated to the errors of a cross-validation."""
        return replace(self, deviation=validation.deviation)

    def training_set(self, genes: ArrayLike, labels: ArrayLike) -> tuple[Inputs, torch.Tensor]:
        """Return the inputs for the genes and the labels as (n,) float32; arguments and errors are those of `fit`."""
        array, percent = checked_labels(genes, labels)
        return Inputs.of(self.counter, self.scaling, array), torch.from_numpy(percent.astype(np.float32))

    def predict(self, genes: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Predict accuracy and standard deviation, (n,) each in percent, for canonical genes (n, F).

        The standard deviation is that of the ensemble, calibrated by `deviation`. Inference is native; a candidate's
        result depends neither on the other candidates nor on the number of threads.

        Raises:
            RuntimeError: The predictor is not fitted.
        """
        array = np.ascontiguousarray(genes, np.int16)
        statistics = np.ascontiguousarray(self.counter(array), np.float64)
        mean, std = self._native.score(array, statistics)
        return mean, std

    def scores(self, genes: ArrayLike) -> NDArray[np.float64]:
        """Return the accuracies of `predict`, (n,) percent, by which candidates are ranked."""
        return self.predict(genes)[0]

    @cached_property
    def _native(self) -> Any:
        return native_surrogate(self.space.tables(), self.weights())

    def weights(self) -> PredictorWeights:
        """Return the fitted weights as arrays.

        Raises:
            RuntimeError: The predictor is not fitted.
            UserError: A weight is not finite.
        """
        if self.fitted is None:
            raise RuntimeError("the predictor is not fitted; call fit first")
        tensors = [tensor for layer in (*self.fitted.encoder, *self.fitted.head) for tensor in layer]
        tensors += [self.fitted.center, self.fitted.scale]
        tensors += [torch.from_numpy(self.scaling.mean), torch.from_numpy(self.scaling.std)]
        if not all(tensor.isfinite().all() for tensor in tensors):
            raise UserError(
                "a weight of the predictor is not finite: its file is damaged, or its fit diverged; fit it again"
            )
        recipe = order_columns(self.space, "recipe")
        return PredictorWeights(
            self.scaling.mean,
            self.scaling.std,
            _arrays(_fold_first_layer(self.fitted.encoder, order_columns(self.space, "architecture"), 0)),
            _arrays(
                _fold_first_layer(
                    self.fitted.head, recipe, self.fitted.head[0][0].shape[1] - sum(recipe.shape)
                )
            ),
            float(self.fitted.center[0]),
            float(self.fitted.scale[0]),
            self.deviation.scale,
            self.deviation.floor,
        )


def pretrain(
    counter: Statistics,
    genes: ArrayLike,
    seed: int,
    progress: Progress = silent,
    *,
    members: int = MEMBERS,
    encoder: Sequence[int] = ENCODER,
    head: Sequence[int] = HEAD,
) -> Predictor:
    """Build a predictor and pretrain its encoder on statistics (80 % training, 20 % validation; see `ProxyTask`).

    Without architecture fields there is no encoder, and without statistics the encoder is not trained; in both cases the
    report is empty. Pretraining runs on one thread, and equal arguments give equal weights.

    Args:
        counter: Counter of the statistics to learn.
        genes: (n, F) canonical; their statistics determine the scaling.
        seed: Seed of every random choice.
        progress: Called with the stage, the number of steps done and the total.
        members: Number of ensemble members (M).
        encoder: Widths of the encoder; the last one is that of the embedding.
        head: Hidden widths of the accuracy head.

    Raises:
        UserError: There are fewer than 5 candidates, or a size is below 1.
    """
    array = np.asarray(genes, np.int16)
    if len(array) < MIN_CANDIDATES:
        raise UserError(f"pretraining got {len(array)} candidates; it needs at least {MIN_CANDIDATES}")
    for name, sizes in (("members", [members]), ("encoder", encoder), ("head", head)):
        if min(sizes, default=1) < 1:
            raise UserError(f"{name} of the predictor is {min(sizes)}; it should be at least 1")
    scaling = Scaling.of(counter(array))
    layers: list[Layer] = []
    proxy: list[Layer] = []
    report = PretrainingReport()
    if counter.space.searches_architecture and encoder:
        architecture = Inputs.of(counter, scaling, array).architecture
        generator = torch.Generator().manual_seed(derive_seed(seed, "encoder"))
        layers = new_layers([architecture.shape[1], *encoder], members, generator)
        task = ProxyTask.of(counter, array)
        if task.names:
            with torch_threads(1):
                proxy, report = pretrain_encoder(layers, architecture, task, seed, progress)
    return Predictor(counter, scaling, members, tuple(layers), tuple(proxy), tuple(head), report)


def _arrays(layers: Sequence[Layer]) -> list[ArrayLayer]:
    return [(weight.contiguous().numpy(), bias.contiguous().numpy()) for weight, bias in layers]


def _fold_first_layer(layers: Sequence[Layer], order: torch.Tensor, first: int) -> list[Layer]:
    """Return the layers with the ranks of ordered fields folded into the first; see `fold_order`."""
    return [(fold_order(weight, order, first), bias) for weight, bias in layers[:1]] + list(layers[1:])
