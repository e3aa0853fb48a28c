"""The accuracy predictor: it scores architecture and recipe jointly and is pretrained on statistics.

That idea is FBNetV3's. The networks, where the recipe enters, the members, the statistics as further inputs of the
accuracy head, and all sizes are our choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from narsfast import _native
from narsfast.common.progress import Progress, silent
from narsfast.common.seeds import derive_seed
from narsfast.common.threads import torch_threads
from narsfast.errors import UserError
from narsfast.space import Space

from ._fitting import Fitted, fit_members
from ._inputs import Inputs, Scaling, Statistics, order_columns, without_order
from ._network import Layer, new_layers
from ._pretraining import PretrainingReport, ProxyTask, pretrain_encoder
from ._validation import CrossValidation, Deviation, cross_validate
from ._weights import ArrayLayer, PredictorWeights

MEMBERS = 4
ENCODER = (256, 64)
HEAD = (64, 64)
FEWEST = 5
"""Candidates that pretraining needs, so that one can be held out."""


@dataclass(frozen=True, eq=False)
class Predictor:
    """Predicts the accuracy of candidates in percent; made by `pretrain`, fitted by `fit`. Never changes.

    Attributes:
        counter: counts the statistics that the predictor reads.
        scaling: standardization of the statistics.
        members: number of members (M).
        encoder: pretrained layers, empty where the space searches no architecture.
        proxy: the linear proxy head, empty without pretraining.
        head_widths: hidden widths of the accuracy head.
        pretraining: how well the statistics were learned.
        fitted: weights after the last fit, None before any.
        deviation: from the members' deviation to the one to expect of labels.
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
        """Names of the statistics that the predictor reads, in order."""
        return self.counter.names

    def fit(self, genes: ArrayLike, labels: ArrayLike, seed: int) -> Predictor:
        """Learn labels, always from the pretrained weights: earlier fits leave no trace.

        The encoder is frozen first, then everything is trained at a lower rate; the loss is of standardized labels.
        On one thread; the same arguments give the same weights.

        Args:
            genes: (n, F) canonical, n at least 1.
            labels: (n,) accuracy in percent.
            seed: of initial weights and of the order of samples.

        Returns:
            The fitted predictor.

        Raises:
            ValueError: there is no label, one is not finite, or their number is not that of the genes.
        """
        inputs, percent = self.learning_set(genes, labels)
        every = torch.arange(len(percent))
        generator = torch.Generator().manual_seed(derive_seed(seed, "fit"))
        with torch_threads(1):
            fitted = fit_members(
                self.encoder, self.head_widths, inputs, percent, [every] * self.members, generator
            )
        return replace(self, fitted=fitted, deviation=Deviation())

    def cross_validate(self, genes: ArrayLike, labels: ArrayLike, seed: int) -> CrossValidation:
        """Predict each label by fits to others, from the pretrained weights; arguments and errors as of `fit`."""
        inputs, percent = self.learning_set(genes, labels)
        return cross_validate(self.encoder, self.head_widths, self.members, inputs, percent, seed)

    def calibrated(self, validation: CrossValidation) -> Predictor:
        """The same predictions, with the uncertainty that the errors of a cross-validation show."""
        return replace(self, deviation=validation.deviation)

    def learning_set(self, genes: ArrayLike, labels: ArrayLike) -> tuple[Inputs, torch.Tensor]:
        """Inputs of the genes, and the labels as (n,) float32; raises as `fit` does."""
        array = np.asarray(genes, np.int16)
        percent = np.asarray(labels, np.float32)
        if len(percent) == 0 or percent.shape != (len(array),) or not np.isfinite(percent).all():
            raise ValueError(
                f"labels have shape {percent.shape} for {len(array)} candidates; "
                "there must be one finite label a candidate, and at least one"
            )
        return Inputs.of(self.counter, self.scaling, array), torch.from_numpy(percent)

    def predict(self, genes: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Predict canonical genes (n, F): accuracy and its standard deviation, (n,) each, percent.

        The deviation comes from the members', and from `deviation`: see `calibrated`.

        Native inference: a candidate's result depends neither on the rest of the batch nor on threads.

        Raises:
            RuntimeError: no labels were fitted yet.
        """
        array = np.ascontiguousarray(genes, np.int16)
        statistics = np.ascontiguousarray(self.counter(array), np.float64)
        mean, std = self._native.score(array, statistics)
        return mean, std

    def scores(self, genes: ArrayLike) -> NDArray[np.float64]:
        """The mean of `predict`, (n,) percent: what candidates are ranked by."""
        return self.predict(genes)[0]

    @cached_property
    def _native(self) -> Any:
        return _native.Predictor(self.space.tables(), self.weights())

    def weights(self) -> PredictorWeights:
        """The fitted weights as arrays.

        Raises:
            RuntimeError: no labels were fitted yet.
        """
        if self.fitted is None:
            raise RuntimeError("the predictor has no labels yet; call fit first")
        recipe = order_columns(self.space, "recipe")
        return PredictorWeights(
            self.scaling.mean,
            self.scaling.std,
            _arrays(_first(self.fitted.encoder, order_columns(self.space, "architecture"), 0)),
            _arrays(_first(self.fitted.head, recipe, self.fitted.head[0][0].shape[1] - sum(recipe.shape))),
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
    """Make a predictor and pretrain its encoder on statistics (80 % train, 20 % validate; see `ProxyTask`).

    A space that searches no architecture gets no encoder, and one without statistics an untrained one; in both
    pretraining is skipped and the report is empty. On one thread; the same arguments give the same weights.

    Args:
        counter: statistics to learn.
        genes: (n, F) canonical; their statistics set the scaling.
        seed: of every random choice.
        progress: told of the steps.
        members: members (M).
        encoder: widths of the encoder, the embedding last.
        head: hidden widths of the accuracy head.

    Raises:
        UserError: fewer than 5 candidates, or a size below 1.
    """
    array = np.asarray(genes, np.int16)
    if len(array) < FEWEST:
        raise UserError(f"pretraining got {len(array)} candidates; it needs at least {FEWEST}")
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


def _first(layers: Sequence[Layer], order: torch.Tensor, first: int) -> list[Layer]:
    """The layers, of which the first reads features without their order."""
    return [(without_order(weight, order, first), bias) for weight, bias in layers[:1]] + list(layers[1:])
