"""The options of a run as keywords, for type checkers: those of `narsfast.common.options`.

A test holds them to that table, where what each means stands alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from narsfast.common.options import (
    BitDepth,
    Correlation,
    Device,
    Layout,
    LoaderChoice,
    OpsName,
    OptimBackend,
    PrecisionName,
)
from narsfast.cost import Budget


class RunOptions(TypedDict, total=False):
    """Keywords of `search` beside the named ones; None leaves an option as it is."""

    parents: Sequence[str] | None
    model: str | None
    pretrained: bool | None
    recipe_space: str | None
    fix: Mapping[str, Any] | None
    pool_bounds: Budget | str | None
    explore: bool | None
    tune_parents: bool | None
    latency: str | Path | None
    mirror: bool | None
    layout: Layout | None
    orient: bool | None
    bit_depth: BitDepth | int | None
    pool_size: int | None
    trials_per_batch: int | None
    iterations: int | None
    epochs: int | None
    final_epochs: int | None
    finalists: int | None
    halving: bool | None
    threshold: float | None
    correlation: Correlation | None
    time: str | float | None
    ensemble_members: int | None
    seed: int | None
    trial_timeout: float | None
    baselines: Sequence[str] | None
    distill: str | None
    distill_weight: float | None
    distill_temperature: float | None
    threads_per_trial: int | None
    ops: OpsName | None
    optim_backend: OptimBackend | None
    device: Device | None
    precision: PrecisionName | None
    accumulate: int | None
    clip_norm: float | None
    processes_per_trial: int | None
    loader: LoaderChoice | None
