"""Options that commands share, and those that create a run."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from narsfast.errors import UserError

RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory, as made by `narsfast run`.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1, help="Trials at once, each in a process of its own. Default: one a CPU core, or a GPU."
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        help="Run directory. One that exists goes on where it stopped. Default: runs/<data>, or runs/<data>-<model>."
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        help="`digits` (embedded), or a folder: train/val/test, train/val, or one folder of class folders."
    ),
]
SpaceName = Annotated[
    str | None,
    typer.Option(
        "--space", help="tiny, mobile, fbnetv3, or a YAML file. Default: tiny for digits, else mobile."
    ),
]
RecipeSpace = Annotated[
    str | None,
    typer.Option(
        "--recipe-space",
        help="extended: search every field of a recipe, whatever the space leaves out. paper: as the space has it "
        "(default).",
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        help="Search the recipe of this network alone: torchvision:NAME, timm:NAME, FILE.py:FACTORY, a name of the "
        "zoo, or a definition's .json file."
    ),
]
LatencyFile = Annotated[
    Path | None,
    typer.Option(
        "--latency",
        help="A table of `narsfast latency measure`: latency becomes a statistic, as in --budget latency=8ms.",
    ),
]
Fix = Annotated[
    list[str] | None,
    typer.Option(help="FIELD=VALUE: fix a field of the space, as in resolution=64. May be given again."),
]
BudgetTexts = Annotated[
    list[str] | None,
    typer.Option(
        "--budget",
        help="One network for these bounds, as in macs=50M or macs=100M,params=3M. May be given again.",
    ),
]
PoolBounds = Annotated[
    str | None, typer.Option("--pool", help="Bounds of the pool, as in macs=2M:40M. Default: from the space.")
]
PoolSize = Annotated[int | None, typer.Option(help="n: candidates in the pool. Default 2048.")]
Batch = Annotated[int | None, typer.Option(help="m: trials in a batch. Default 8.")]
Iterations = Annotated[int | None, typer.Option(help="T: batches. Default 3.")]
Epochs = Annotated[int | None, typer.Option(help="Epochs of the first batch's learning curves. Default 8.")]
FinalEpochs = Annotated[int | None, typer.Option(help="Epochs of the final trainings. Default 30.")]
Threshold = Annotated[
    float | None, typer.Option(help="Rank correlation that fixes the early-stop epoch. Default 0.92.")
]
Correlation = Annotated[str | None, typer.Option(help="kendall (default) or spearman.")]
Members = Annotated[int | None, typer.Option(help="Members of the predictor. Default 4.")]
Seed = Annotated[int | None, typer.Option(help="Seed of every random choice. Default 0.")]
Mirror = Annotated[
    bool | None,
    typer.Option("--mirror/--no-mirror", help="Whether a mirrored image keeps its class. Default: it does."),
]
Threads = Annotated[
    int | None, typer.Option("--threads-per-trial", help="CPU threads of a training. Default 1.")
]
OpsName = Annotated[
    str | None,
    typer.Option("--ops", help="Kernels of the networks in training: fused (default) or torch."),
]
OptimBackendName = Annotated[
    str | None,
    typer.Option(
        "--optim-backend", help="Who computes the optimizer's step: native, torch, apex, or auto (default)."
    ),
]
DeviceName = Annotated[
    str | None, typer.Option("--device", help="Where networks are trained: cpu, cuda, or auto (default).")
]
PrecisionName = Annotated[
    str | None,
    typer.Option("--precision", help="Of trainings: float32 (default), bfloat16 or float16 (mixed)."),
]
Accumulate = Annotated[
    int | None,
    typer.Option("--accumulate", help="Micro-batches a step, for batches too large for memory. Default 1."),
]
ClipNorm = Annotated[
    float | None, typer.Option("--clip-norm", help="Largest norm of the gradients. Default: none.")
]
ProcessesPerTrial = Annotated[
    int | None,
    typer.Option("--processes-per-trial", help="Processes (GPUs) that share one training. Default 1."),
]
LoaderName = Annotated[
    str | None,
    typer.Option("--loader", help="Who reads the images: dali, torchvision, or auto (default)."),
]
Timeout = Annotated[
    float | None, typer.Option("--trial-timeout", help="Seconds after which a trial is ended.")
]

Baselines = Annotated[
    list[str] | None,
    typer.Option(
        "--baseline",
        metavar="REFERENCE",
        help="A known network to train beside the found ones, as in torchvision:mobilenet_v3_small. May be given "
        "again, and added to a run that has ended.",
    ),
]
Distil = Annotated[
    str | None,
    typer.Option(
        metavar="TEACHER",
        help="Teacher of the final trainings: `largest` (of this run), the folder of an emitted network, "
        "torchvision:NAME, timm:NAME, or REFERENCE=WEIGHTS.safetensors; `none` is without. A run may change it until "
        "its first final training has ended.",
    ),
]
DistilWeight = Annotated[
    float | None,
    typer.Option("--distill-weight", help="Share of the teacher in the loss, 0 to 1. Default 0.8."),
]
DistilTemperature = Annotated[
    float | None,
    typer.Option("--distill-temperature", help="Divides the logits of teacher and student. Default 1."),
]
TRAINER_OPTIONS = (
    "threads_per_trial",
    "ops",
    "optim_backend",
    "device",
    "precision",
    "accumulate",
    "clip_norm",
    "processes_per_trial",
    "loader",
)
"""Options of `_collect` that are `narsfast.training.TrainerSettings`: they go with every command that trains."""


def _collect(
    out: Out = None,
    data: Data = None,
    model: Model = None,
    space: SpaceName = None,
    recipe_space: RecipeSpace = None,
    budgets: BudgetTexts = None,
    pool_bounds: PoolBounds = None,
    fix: Fix = None,
    latency: LatencyFile = None,
    pool_size: PoolSize = None,
    trials_per_batch: Batch = None,
    iterations: Iterations = None,
    epochs: Epochs = None,
    final_epochs: FinalEpochs = None,
    threshold: Threshold = None,
    correlation: Correlation = None,
    ensemble_members: Members = None,
    mirror: Mirror = None,
    seed: Seed = None,
    threads_per_trial: Threads = None,
    ops: OpsName = None,
    optim_backend: OptimBackendName = None,
    device: DeviceName = None,
    precision: PrecisionName = None,
    accumulate: Accumulate = None,
    clip_norm: ClipNorm = None,
    processes_per_trial: ProcessesPerTrial = None,
    loader: LoaderName = None,
    trial_timeout: Timeout = None,
    baselines: Baselines = None,
    distill: Distil = None,
    distill_weight: DistilWeight = None,
    distill_temperature: DistilTemperature = None,
) -> tuple[Path, dict[str, Any]]:
    """The run directory and the options that the user gave, in the names of `resolve_config`."""
    options = {name: value for name, value in locals().items() if value is not None and name != "out"}
    if fix:
        options["fix"] = dict(assignment(text) for text in fix)
    name = "digits" if data in (None, "digits") else Path(data).expanduser().resolve().name
    if model is not None:
        name += "-" + re.sub(r"\W+", "-", Path(model.rpartition(":")[2]).stem)
    return out or Path("runs") / name, options


def collected_options(*names: str) -> dict[str, inspect.Parameter]:
    """Some of the options that create a run, for a command that takes them one by one."""
    parameters = inspect.signature(_collect, eval_str=True).parameters
    return {name: parameters[name] for name in names}


def assignment(text: str) -> tuple[str, Any]:
    """FIELD=VALUE, with the value read as JSON where it is JSON and as text where not."""
    name, separator, value = text.partition("=")
    if not separator:
        raise UserError(f"--fix: {text!r} is not FIELD=VALUE, as in resolution=64")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def creates_run(stage: Callable[[Path, dict[str, Any], int | None], None]) -> Callable[..., None]:
    """Give a command the options that create a run: those of `_collect`, and the workers."""
    parameters = list(inspect.signature(_collect, eval_str=True).parameters.values())
    parameters.append(
        inspect.Parameter("workers", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Workers)
    )

    def command(*, workers: int | None = None, **values: Any) -> None:
        out, options = _collect(**values)
        stage(out, options, workers)

    command.__name__ = stage.__name__
    command.__doc__ = stage.__doc__
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    )
    return command
