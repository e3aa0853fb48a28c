"""Cross-validation of the predictor: how well it ranks, and how far off it is to be expected.

Members agree with each other far more than with new labels. The labels held out of a fit tell how much more; their
quantile, as in split conformal prediction, scales the members' deviation. The rest is our choice.
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
from ._targets import compress

FEWEST_LABELS = 8
"""With fewer labels a fold holds too few to rank, and nothing is held out."""
MOST_FOLDS = 5
FEWEST_IN_FOLD = 4
SHARE = 0.8
NORMAL_QUANTILE = 1.2816
"""A normal distribution has 80 % within so many standard deviations."""
SMALLEST_FLOOR = 1e-6


@dataclass(frozen=True)
class Deviation:
    """From the members' deviation v (a variance of outputs) to what to expect: scale * sqrt(v + floor ** 2).

    Attributes:
        scale: a factor. Without cross-validation a typical one of the tables in ``bench/tables``.
        floor: least deviation that is believed, of standardized outputs.
    """

    scale: float = 4.0
    floor: float = 0.05


MEMBERS_ALONE = Deviation(scale=1.0, floor=0.0)
"""The deviation that is the spread of the ensemble's members, without a cross-validation."""


@dataclass(frozen=True)
class CrossValidation:
    """Labels predicted by members that have not seen them.

    Attributes:
        folds: (n,) int64, the fold of each label; -1 with too few labels.
        outputs: (n,) float64, standardized outputs, to be compared inside a fold only.
        deviation: what the errors say of the members' deviation.
    """

    folds: NDArray[np.int64]
    outputs: NDArray[np.float64]
    deviation: Deviation


def cross_validate(
    encoder: Sequence[Layer],
    head_widths: Sequence[int],
    members: int,
    inputs: Inputs,
    labels: torch.Tensor,
    seed: int,
) -> CrossValidation:
    """Up to five folds of at least four labels, fitted at once; arguments as in `fit_members`."""
    count = len(labels)
    folds = _folds(count, derive_seed(seed, "split"))
    outputs = np.zeros(count)
    if count < FEWEST_LABELS:
        return CrossValidation(folds, outputs, Deviation())
    rows = [torch.from_numpy(np.flatnonzero(folds != fold)) for fold in range(folds.max() + 1)]
    generator = torch.Generator().manual_seed(derive_seed(seed, "folds"))
    with torch_threads(1):
        fitted = fit_members(
            encoder, head_widths, inputs, labels, [mine for mine in rows for _ in range(members)], generator
        )
        by_member = fitted.outputs(inputs).reshape(len(rows), members, count).double()
    targets = compress((labels - fitted.center[:, None]) / fitted.scale[:, None])[::members].double()
    mine = torch.from_numpy(folds), torch.arange(count)
    held_out = by_member.mean(dim=1)[mine].numpy()
    variance = by_member.var(dim=1, correction=0)[mine].numpy()
    return CrossValidation(folds, held_out, _deviation(targets[mine].numpy() - held_out, variance))


def _folds(count: int, seed: int) -> NDArray[np.int64]:
    if count < FEWEST_LABELS:
        return np.full(count, -1)
    folds = min(MOST_FOLDS, count // FEWEST_IN_FOLD)
    return np.random.default_rng(seed).permutation(np.arange(count) % folds)


def _deviation(errors: NDArray[np.float64], variance: NDArray[np.float64]) -> Deviation:
    """So that the share of errors within the normal quantile is `SHARE`, counting the one to come as outside."""
    floor = max(float(np.sqrt(variance.mean())), SMALLEST_FLOOR)
    ratios = np.abs(errors) / np.sqrt(variance + floor**2)
    level = min(1.0, SHARE * (len(errors) + 1) / len(errors))
    return Deviation(float(np.quantile(ratios, level)) / NORMAL_QUANTILE, floor)
