"""Pretraining on statistics, which need no training of networks: the proxy task of FBNetV3.

The paper pretrains on FLOPs and number of parameters. This project's choices: all statistics of the counter are learned,
and the parameters of each stage, which tell where in the network they are; all are standardized and predicted by a
linear proxy head; one fifth of the candidates is held out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor

from narsfast.common.progress import Progress, silent
from narsfast.common.seeds import derive_seed
from narsfast.cost import stage_params
from narsfast.space import Genes

from ._descent import Schedule, batch_order, minimize
from ._inputs import Scaling, Statistics
from ._network import Layer, apply_layers, new_layers

VALIDATION_SHARE = 0.2
SCHEDULE = Schedule(steps=1600, batch=64, rate=5e-3, weight_decay=0.5, average=0.3)
BATCHES = (64, 160)
"""Fewest and most samples per step; between them a hundredth of the candidates."""
REPORT_EVERY = 20


@dataclass(frozen=True)
class StatisticReport:
    """The error of one statistic on held-out candidates.

    Attributes:
        name: The statistic.
        error: Root mean square error of the standardized target; predicting the mean has error 1.
        rank_correlation: Spearman correlation of estimated and counted values.
    """

    name: str
    error: float
    rank_correlation: float


@dataclass(frozen=True)
class PretrainingReport:
    """The outcome of a pretraining.

    Attributes:
        statistics: One report per statistic that is not constant; empty if nothing was learned.
        trained: Number of candidates for training.
        validated: Number of held-out candidates.
    """

    statistics: tuple[StatisticReport, ...] = ()
    trained: int = 0
    validated: int = 0

    def to_dict(self) -> dict[str, dict[str, float]]:
        """Return ``{"error": ..., "rank_correlation": ...}`` by statistic."""
        return {
            row.name: {"error": row.error, "rank_correlation": row.rank_correlation}
            for row in self.statistics
        }

    @classmethod
    def from_dict(
        cls, data: Mapping[str, Mapping[str, float]], trained: int, validated: int
    ) -> PretrainingReport:
        """Build a report from the result of `to_dict`."""
        rows = tuple(StatisticReport(name, **row) for name, row in data.items())
        return cls(rows, trained, validated)


@dataclass(frozen=True)
class ProxyTask:
    """The targets of pretraining for n candidates.

    Attributes:
        names: Names of T targets.
        targets: (n, T) float32, standardized; no column is constant.
    """

    names: tuple[str, ...]
    targets: Tensor

    @classmethod
    def of(cls, counter: Statistics, genes: Genes) -> ProxyTask:
        """Build targets from the counter's statistics and, for MBConv networks, the parameters of each stage.

        Statistics are learned as logarithms, and a stage's parameters as log(1 + parameters / their mean), as
        differences between very small stages matter little.

        Args:
            counter: Counter of the statistics; without any there are no targets.
            genes: (n, F) canonical.
        """
        statistics = counter(genes)
        scaling = Scaling.of(statistics)
        names = [name for name, varies in zip(counter.names, scaling.varies, strict=True) if varies]
        targets = [scaling(statistics)[:, scaling.varies]]
        if counter.space.stages and counter.names:
            params = stage_params(counter.space, genes)
            varying = np.flatnonzero((params != params[:1]).any(axis=0))
            logs = np.log1p(params[:, varying] / params[:, varying].mean(axis=0))
            names += [f"params of stage {number + 1}" for number in varying]
            targets.append(((logs - logs.mean(axis=0)) / logs.std(axis=0)).astype(np.float32))
        return cls(tuple(names), torch.from_numpy(np.concatenate(targets, axis=1)))


def pretrain_encoder(
    encoder: Sequence[Layer],
    architecture: Tensor,
    task: ProxyTask,
    seed: int,
    progress: Progress = silent,
) -> tuple[list[Layer], PretrainingReport]:
    """Train the encoder in place, with a proxy head on top.

    Args:
        encoder: Initial layers of M ensemble members.
        architecture: (n, A), features and ranks of ordered fields.
        task: The targets of the same candidates.
        seed: Seed of the proxy head's initial weights, of the split and of the order of samples.
        progress: Called with the stage, the number of steps done and the total.

    Returns:
        The proxy head (one layer with an output per target), and the report.
    """
    generator = torch.Generator().manual_seed(derive_seed(seed, "proxy"))
    targets = task.targets
    members, width = encoder[-1][1].shape
    proxy = new_layers([width, targets.shape[1]], members, generator)
    shuffled = torch.randperm(len(targets), generator=generator)
    held_out, training = shuffled.tensor_split([max(1, int(VALIDATION_SHARE * len(targets)))])
    batch = min(max(BATCHES[0], len(training) // 100), BATCHES[1])
    schedule = replace(SCHEDULE, batch=batch)
    order = batch_order([training] * members, schedule, generator)

    def estimate(rows: Tensor) -> Tensor:
        return apply_layers(proxy, apply_layers(encoder, architecture[rows], True), False)

    def loss(step: int) -> Tensor:
        return (estimate(order[step]) - targets[order[step]]).square().mean() * members

    def report(done: int) -> None:
        if done % REPORT_EVERY == 0 or done == schedule.steps:
            progress("pretrain", done, schedule.steps)

    minimize([*encoder, *proxy], loss, schedule, report)
    rows = _reports(task.names, estimate(held_out).mean(dim=0).numpy(), targets[held_out].numpy())
    return proxy, PretrainingReport(rows, len(training), len(held_out))


def _reports(
    names: Sequence[str], estimates: NDArray[np.float32], targets: NDArray[np.float32]
) -> tuple[StatisticReport, ...]:
    """Return one report per column of (n, T), except for targets that are constant among the n."""
    return tuple(
        StatisticReport(
            name,
            float(np.sqrt(np.mean((estimate - target) ** 2))),
            float(spearmanr(estimate, target).statistic) if np.ptp(estimate) else 0.0,
        )
        for name, estimate, target in zip(names, estimates.T, targets.T, strict=True)
        if np.ptp(target)
    )
