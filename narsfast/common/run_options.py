"""Every option of a run, declared once; torch is not needed to read them.

Those that a run stores as they are given are fields of models, which `narsfast.training.TrainerSettings` and
`narsfast.pipeline.RunConfig` inherit; the others stand in `_NOT_STORED`. Every default is this project's choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from .options import BASELINES, DATA, MACHINE, SEARCH, SPACE, TRAINING, RunOption, Shown, field_options

Device = Literal["auto", "cpu", "cuda"]
"""Names of devices as settings have them."""

LoaderChoice = Literal["auto", "dali", "torchvision"]
"""Who makes the batches."""

OptimBackend = Literal["auto", "native", "torch", "apex"]
"""Who computes the optimizer's step, see `narsfast.training.resolve_backend`."""

PrecisionName = Literal["float32", "bfloat16", "float16"]
"""What the forward and backward passes compute in."""

POOL_SIZE = 2048


class TrainerOptions(BaseModel):
    """What all trainings of a run share, and no recipe searches."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    precision: Annotated[
        PrecisionName,
        Shown(TRAINING),
        Field(
            description="Of the forward and backward passes: bfloat16 and float16 are torch's autocast, with weights, "
            "gradients and optimizer in float32; float16 scales the loss."
        ),
    ] = "float32"
    accumulate: Annotated[
        int,
        Shown(TRAINING),
        Field(
            ge=1,
            description="Micro-batches per step, for batches too large for memory; the recipe's batch size is their sum. "
            "Fewer where they would have less than two images.",
        ),
    ] = 1
    clip_norm: Annotated[
        float | None,
        Shown(TRAINING, unset="no clipping"),
        Field(
            gt=0, description="Largest norm of all gradients together, above which they are scaled down to it."
        ),
    ] = None
    ops: Annotated[
        Literal["fused", "torch"],
        Shown(TRAINING),
        Field(description="Kernels of the networks in training: this project's (fused) or torch's modules."),
    ] = "fused"
    optim_backend: Annotated[
        OptimBackend,
        Shown(TRAINING),
        Field(
            description="Who computes the optimizer's step: this project's compiled code (native), torch, NVIDIA's apex, "
            "or the best that can be used (auto)."
        ),
    ] = "auto"
    threads_per_trial: Annotated[
        int, Shown(MACHINE), Field(ge=1, description="CPU threads of one training.")
    ] = 1
    processes_per_trial: Annotated[
        int,
        Shown(MACHINE),
        Field(
            ge=1,
            description="Processes that share each step of a training, each on a GPU of its own where the device is cuda.",
        ),
    ] = 1
    device: Annotated[
        Device,
        Shown(MACHINE),
        Field(description="Where networks are trained; auto is cuda where there is one. A run keeps its device."),
    ] = "auto"
    loader: Annotated[
        LoaderChoice,
        Shown(MACHINE),
        Field(
            description="Who makes the batches: NVIDIA DALI, Pillow and torchvision, or DALI for image folders where it "
            "is installed (auto)."
        ),
    ] = "auto"


class SearchOptions(BaseModel):
    """What decides the outcome of a search and is stored as it was given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mirror: Annotated[
        bool, Shown(DATA), Field(description="Whether a mirrored image keeps its class.")
    ] = True
    model: Annotated[
        str | None,
        Shown(SPACE, "REFERENCE", "the architecture is searched too"),
        Field(
            description="Search the recipe of this network alone: torchvision:NAME, timm:NAME, FILE.py:FACTORY, a name of "
            "the zoo, or a definition's .json file."
        ),
    ] = None
    pool_size: Annotated[
        int, Shown(SEARCH), Field(ge=16, description="Candidates in the pool: n of Algorithm 1.")
    ] = POOL_SIZE
    trials_per_batch: Annotated[
        int, Shown(SEARCH), Field(ge=2, description="Trials per batch: m of Algorithm 1.")
    ] = 8
    iterations: Annotated[int, Shown(SEARCH), Field(ge=1, description="Batches: T of Algorithm 1.")] = 3
    epochs: Annotated[
        int, Shown(SEARCH), Field(ge=1, description="Length of the first batch's learning curves.")
    ] = 8
    final_epochs: Annotated[
        int, Shown(SEARCH), Field(ge=1, description="Length of the final trainings.")
    ] = 30
    threshold: Annotated[
        float,
        Shown(SEARCH),
        Field(gt=0, le=1, description="Rank correlation at which the early-stop epoch is chosen."),
    ] = 0.92
    correlation: Annotated[
        Literal["spearman", "kendall"], Shown(SEARCH), Field(description="Which rank correlation that is.")
    ] = "kendall"
    ensemble_members: Annotated[
        int, Shown(SEARCH), Field(ge=1, description="Ensemble members of the predictor.")
    ] = 4
    seed: Annotated[int, Shown(SEARCH), Field(ge=0, description="Seed of every random choice.")] = 0
    baselines: Annotated[
        tuple[str, ...],
        Shown(BASELINES, "REFERENCE"),
        Field(
            description="A known network to train beside the found ones, as in torchvision:mobilenet_v3_small. Baselines "
            "can be added to a run that has ended."
        ),
    ] = ()
    distill: Annotated[
        str | None,
        Shown(BASELINES, "TEACHER", "no teacher"),
        Field(
            description="Teacher of the final trainings: `largest` (of this run), the folder of an emitted network, "
            "torchvision:NAME, timm:NAME, or REFERENCE=WEIGHTS.safetensors; `none` is without. A run may change it until "
            "its first final training has ended."
        ),
    ] = None
    distill_weight: Annotated[
        float, Shown(BASELINES), Field(ge=0, le=1, description="Share of the teacher in the loss.")
    ] = 0.8
    distill_temperature: Annotated[
        float, Shown(BASELINES), Field(gt=0, description="Divides the logits of teacher and student.")
    ] = 1.0
    trial_timeout: Annotated[
        float | None,
        Shown(MACHINE, "SECONDS", "no limit"),
        Field(gt=0, description="Seconds after which a trial is ended."),
    ] = None


_NOT_STORED = (
    RunOption(
        "data",
        str,
        "digits",
        "`digits` (embedded), or a folder: train/val/test, train/val, or one folder of class folders.",
        DATA,
    ),
    RunOption(
        "space",
        str | None,
        None,
        "tiny, mobile, fbnetv3, or a YAML file; `narsfast space` lists them.",
        SPACE,
        unset="tiny for digits, else mobile",
    ),
    RunOption(
        "recipe_space",
        str | None,
        None,
        "extended: search every field of a recipe, whatever the space leaves out. paper: as the space has it.",
        SPACE,
        unset="paper",
    ),
    RunOption(
        "fix",
        Mapping[str, Any],
        None,
        "Fix a field of the space to a value, as in resolution=64.",
        SPACE,
        "FIELD=VALUE",
    ),
    RunOption(
        "budgets",
        Sequence[str],
        None,
        "One network for these bounds, as in macs=50M or macs=100M,params=3M.",
        SPACE,
        "BOUNDS",
        "those of the space",
    ),
    RunOption(
        "pool_bounds",
        str | None,
        None,
        "Bounds of the pool, as in macs=2M:40M.",
        SPACE,
        "BOUNDS",
        "those of the space",
    ),
    RunOption(
        "latency",
        Path | None,
        None,
        "A table of `narsfast latency measure`: latency becomes a statistic, as in the budget latency=8ms.",
        SPACE,
        "FILE",
    ),
    RunOption(
        "workers",
        int | None,
        None,
        "Trials at once, each in a process of its own.",
        MACHINE,
        unset="one per CPU core, or per GPU",
        minimum=1,
    ),
)
"""Options that a run resolves before it stores them, and `workers`, which decides nothing but the time."""


@cache
def run_options() -> Mapping[str, RunOption]:
    """Return every option of a run by its name: keywords of `narsfast.search`, options of ``narsfast run``.

    They stand in the order of their panels.
    """
    panels = (DATA, SPACE, SEARCH, TRAINING, BASELINES, MACHINE)
    options = [*_NOT_STORED, *field_options(SearchOptions).values(), *field_options(TrainerOptions).values()]
    options.sort(key=lambda option: panels.index(option.panel))
    return MappingProxyType({option.name: option for option in options})
