"""Cross-validation of the predictor: how well it ranks, and the errors to expect.

Ensemble members agree with each other far more than with new labels. A quantile of the errors on held-out labels scales
the ensemble's deviation, as in split conformal prediction. The rest is this project's choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from narsfast.common.seeds import derive_seed
from narsfast.common.threads import torch_threads

from ._fitting import fit_members
from ._inputs import Inputs
from ._network import Layer
from ._targets import compress, expand

MIN_LABELS = 8
"""Fewest labels for cross-validation; with fewer, folds are too small to rank and nothing is held out."""
MAX_FOLDS = 5
MIN_FOLD_SIZE = 4
COVERAGE = 0.8
NORMAL_QUANTILE = 1.2816
"""80 % of a normal distribution are within this many standard deviations."""
MIN_FLOOR = 1e-6


@dataclass(frozen=True)
class Deviation:
    """The calibration of uncertainty: scale * sqrt(v + floor ** 2) for the ensemble's variance v of outputs.

    Attributes:
        scale: Factor; the default is typical for the tables in ``bench/tabular``.
        floor: Lower limit of the ensemble's deviation, in standardized outputs.
    """

    scale: float = 4.0
    floor: float = 0.05


UNCALIBRATED = Deviation(scale=1.0, floor=0.0)
"""The ensemble's own deviation."""


@dataclass(frozen=True)
class CrossValidation:
    """Predictions of labels by ensemble members that were not fitted to them.

    Attributes:
        folds: (n,) int64, the fold of each label; -1 with too few labels.
        outputs: (n,) float64, standardized outputs, which are comparable within a fold only.
        means: (n,) float64, predicted accuracies in percent; 0 with too few labels.
        deviation: The calibration that follows from the errors.
    """

    folds: NDArray[np.int64]
    outputs: NDArray[np.float64]
    means: NDArray[np.float64]
    deviation: Deviation


def cross_validate(
    encoder: Sequence[Layer],
    head_widths: Sequence[int],
    members: int,
    inputs: Inputs,
    labels: torch.Tensor,
    seed: int,
) -> CrossValidation:
    """Cross-validate in up to five folds of at least four labels, all fitted at once; arguments as in `fit_members`."""
    count = len(labels)
    folds = _folds(count, derive_seed(seed, "split"))
    outputs = np.zeros(count)
    if count < MIN_LABELS:
        return CrossValidation(folds, outputs, np.zeros(count), Deviation())
    rows = [torch.from_numpy(np.flatnonzero(folds != fold)) for fold in range(folds.max() + 1)]
    generator = torch.Generator().manual_seed(derive_seed(seed, "folds"))
    with torch_threads(1):
        fitted = fit_members(
            encoder, head_widths, inputs, labels, [fold for fold in rows for _ in range(members)], generator
        )
        by_member = fitted.outputs(inputs).reshape(len(rows), members, count).double()
    targets = compress((labels - fitted.center[:, None]) / fitted.scale[:, None])[::members].double()
    own_fold = torch.from_numpy(folds), torch.arange(count)
    held_out = by_member.mean(dim=1)[own_fold].numpy()
    variance = by_member.var(dim=1, correction=0)[own_fold].numpy()
    center, scale = (part[::members].double().numpy()[folds] for part in (fitted.center, fitted.scale))
    means = center + scale * expand(held_out)[0]
    return CrossValidation(folds, held_out, means, _deviation(targets[own_fold].numpy() - held_out, variance))


def _folds(count: int, seed: int) -> NDArray[np.int64]:
    if count < MIN_LABELS:
        return np.full(count, -1)
    folds = min(MAX_FOLDS, count // MIN_FOLD_SIZE)
    return np.random.default_rng(seed).permutation(np.arange(count) % folds)


def _deviation(errors: NDArray[np.float64], variance: NDArray[np.float64]) -> Deviation:
    """Calibrate so that a share `COVERAGE` of errors is within the normal quantile, counting one more as outside."""
    floor = max(float(np.sqrt(variance.mean())), MIN_FLOOR)
    ratios = np.abs(errors) / np.sqrt(variance + floor**2)
    level = min(1.0, COVERAGE * (len(errors) + 1) / len(errors))
    return Deviation(float(np.quantile(ratios, level)) / NORMAL_QUANTILE, floor)
