"""Every option of a run, declared once: the command line, `narsfast.search` and the stored configuration read it here.

Neither torch nor pydantic is imported, so that help is shown at once. Every default is this project's choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

Device = Literal["auto", "cpu", "cuda"]
"""Names of devices as settings have them."""

LoaderChoice = Literal["auto", "dali", "torchvision"]
"""Who makes the batches."""

OptimBackend = Literal["auto", "native", "torch", "apex"]
"""Who computes the optimizer's step, see `narsfast.training.resolve_backend`."""

PrecisionName = Literal["float32", "bfloat16", "float16"]
"""What the forward and backward passes compute in."""

OpsName = Literal["fused", "torch"]
"""Kernels of the networks in training."""

Layout = Literal["auto", "flat", "splits", "0.2"]
"""Which folders of a data set are splits and which are classes."""

BitDepth = Literal["auto", "8", "10", "12", "14", "16", "0.2"]
"""Bits that gray pixels of more than 8 bits use."""

Correlation = Literal["spearman", "kendall"]
"""Which rank correlation chooses the early-stop epoch."""

POOL_SIZE = 2048

_DATA = "Data"
_SPACE = "Space and budgets"
_SEARCH = "Search"
_TRAINING = "Training"
_BASELINES = "Baselines and distillation"
_MACHINE = "Machine"


@dataclass(frozen=True)
class RunOption:
    """One option of a run.

    Attributes:
        name: Keyword of `narsfast.pipeline.resolve_config`.
        type: Of its value.
        default: What holds where it is not given.
        panel: Heading that it stands under in help and documentation.
        description: Sentences that say what it is.
        metavar: What its value is called; None is by its type.
        unset: What a default of None stands for, in words.
        minimum: Smallest value; None is no bound.
        maximum: Largest value; None is no bound.
        above: What the value must be larger than; None is no bound.
    """

    name: str
    type: Any
    default: Any
    panel: str
    description: str
    _: KW_ONLY
    metavar: str | None = None
    unset: str = ""
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None

    def stated_default(self) -> str:
        """Return the default in words; empty where there is nothing to say."""
        return self.unset if self.default is None or self.default == () else str(self.default)


_OPTIONS = (
    RunOption(
        "data",
        str,
        "digits",
        _DATA,
        "`digits` (embedded), a folder (train/val/test, train/val, or one folder of class folders), a table of labels "
        "(.csv: path, label and perhaps split), or a file of `narsfast.data.save_dataset`. A run whose data has moved "
        "is told the new place.",
    ),
    RunOption(
        "layout",
        Layout,
        "auto",
        _DATA,
        "Which folders are splits: `splits` is a folder for each, `flat` are classes alone, auto is by the names. 0.2 "
        "is what version 0.2 did, which its runs keep.",
    ),
    RunOption(
        "orient",
        bool,
        True,
        _DATA,
        "Whether photos are turned as their EXIF data says.",
    ),
    RunOption(
        "bit_depth",
        BitDepth,
        "auto",
        _DATA,
        "Bits that gray images of more than 8 bits use, as in 12 of 16: larger values are white. auto is by the largest "
        "value in all files; 0.2 is what version 0.2 did, which its runs keep.",
    ),
    RunOption("mirror", bool, True, _DATA, "Whether a mirrored image keeps its class."),
    RunOption(
        "space",
        str | None,
        None,
        _SPACE,
        "Name of a built-in space, or a YAML file.",
        unset="tiny for digits, else mobile",
    ),
    RunOption(
        "recipe_space",
        str | None,
        None,
        _SPACE,
        "extended: search every field of a recipe but class_balance and those of fine-tuning, whatever the space leaves "
        "out. finetune: in place of the space's recipe, one for networks that start from trained weights. paper: as the "
        "space has it.",
        unset="paper",
    ),
    RunOption(
        "parents",
        Sequence[str],
        None,
        _SPACE,
        "Start from a pretrained network: candidates are its children, with its weights as far as they are kept. "
        "efficientnet_lite0, timm:NAME, torchvision:NAME, a found network's folder, or REFERENCE=FILE with a file of "
        "weights; `narsfast parents` lists what can be had.",
        metavar="REF[=FILE]",
    ),
    RunOption(
        "tune_parents",
        bool,
        True,
        _SPACE,
        "Fine-tune each parent on the images first, once, as it is, for as long as a trial: children then inherit from "
        "that, the classifier too.",
    ),
    RunOption(
        "model",
        str | None,
        None,
        _SPACE,
        "Search the recipe of this network alone: torchvision:NAME, timm:NAME, FILE.py:FACTORY, a name of the zoo, or a "
        "definition's .json file.",
        metavar="REFERENCE",
    ),
    RunOption(
        "pretrained",
        bool,
        False,
        _SPACE,
        "With a model: every training starts from its trained weights, and recipes are those of fine-tuning, unless a "
        "space or a recipe space is given. The model is named as a parent is, also as efficientnet_lite0 or "
        "REFERENCE=FILE.",
    ),
    RunOption(
        "fix",
        Mapping[str, Any],
        None,
        _SPACE,
        "Fix a field of the space to a value, as in resolution=64.",
        metavar="FIELD=VALUE",
    ),
    RunOption(
        "budgets",
        Sequence[str],
        None,
        _SPACE,
        "One network for these bounds, as in macs=50M or macs=100M,params=3M.",
        metavar="BOUNDS",
        unset="those of the space",
    ),
    RunOption(
        "pool_bounds",
        str | None,
        None,
        _SPACE,
        "Bounds of the pool, as in macs=2M:40M.",
        metavar="BOUNDS",
        unset="those of the space",
    ),
    RunOption(
        "explore",
        bool,
        False,
        _SPACE,
        "Train candidates of every cost in the pool's bounds, as a front needs them (`narsfast pareto`). Without it, "
        "trainings are steered to the budgets: as many for each, at 60 to 100 % of it.",
    ),
    RunOption(
        "latency",
        Path | None,
        None,
        _SPACE,
        "A table of `narsfast latency measure`: latency becomes a statistic, as in the budget latency=8ms.",
        metavar="FILE",
    ),
    RunOption("pool_size", int, POOL_SIZE, _SEARCH, "Candidates in the pool: n of Algorithm 1.", minimum=16),
    RunOption("trials_per_batch", int, 8, _SEARCH, "Trials per batch: m of Algorithm 1.", minimum=2),
    RunOption("iterations", int, 3, _SEARCH, "Batches: T of Algorithm 1.", minimum=1),
    RunOption("epochs", int, 8, _SEARCH, "Length of the first batch's learning curves.", minimum=1),
    RunOption("final_epochs", int, 30, _SEARCH, "Length of the final trainings.", minimum=1),
    RunOption(
        "finalists",
        int,
        4,
        _SEARCH,
        "Candidates of each budget that race for it, beside what is known to work: all are trained for a third of the "
        "final epochs, and the best one or two of them to the end. 1 is without a race: the best predicted one is "
        "trained, as in the paper.",
        minimum=1,
    ),
    RunOption(
        "halving",
        bool,
        False,
        _SEARCH,
        "Halve batches while they train: about twice as many candidates begin, those that are behind after a quarter "
        "and a half of the epochs end there, and together they take as many epochs.",
    ),
    RunOption(
        "threshold",
        float,
        0.92,
        _SEARCH,
        "Rank correlation at which the early-stop epoch is chosen.",
        above=0,
        maximum=1,
    ),
    RunOption("correlation", Correlation, "kendall", _SEARCH, "Which rank correlation that is."),
    RunOption(
        "time",
        str | None,
        None,
        _SEARCH,
        "How long the run may take, as in 90m, 2h or 1d. What trainings cost here is measured, and the number and "
        "length of the trials and the length of the final trainings follow, unless they are given.",
        metavar="DURATION",
        unset="as long as it takes",
    ),
    RunOption("ensemble_members", int, 4, _SEARCH, "Ensemble members of the predictor.", minimum=1),
    RunOption("seed", int, 0, _SEARCH, "Seed of every random choice.", minimum=0),
    RunOption(
        "ops",
        OpsName,
        "fused",
        _TRAINING,
        "Kernels of the networks in training: this project's (fused) or torch's modules.",
    ),
    RunOption(
        "optim_backend",
        OptimBackend,
        "auto",
        _TRAINING,
        "Who computes the optimizer's step: this project's compiled code (native), torch, NVIDIA's apex, or the best "
        "that can be used (auto).",
    ),
    RunOption(
        "precision",
        PrecisionName,
        "float32",
        _TRAINING,
        "Of the forward and backward passes. bfloat16 and float16 are torch's autocast, with weights, gradients and "
        "optimizer in float32; float16 scales the loss.",
    ),
    RunOption(
        "accumulate",
        int,
        1,
        _TRAINING,
        "Micro-batches per step, for batches too large for memory: the recipe's batch size is their sum. Fewer where "
        "they would have less than two images.",
        minimum=1,
    ),
    RunOption(
        "clip_norm",
        float | None,
        None,
        _TRAINING,
        "Largest norm of all gradients together, above which they are scaled down to it.",
        unset="no clipping",
        above=0,
    ),
    RunOption(
        "baselines",
        tuple[str, ...],
        (),
        _BASELINES,
        "A known network to train beside the found ones, as in torchvision:mobilenet_v3_small. Baselines can be added "
        "to a run that has ended.",
        metavar="REFERENCE",
    ),
    RunOption(
        "distill",
        str | None,
        None,
        _BASELINES,
        "Teacher of the final trainings: `largest` (of this run), `parent` (the pretrained network that the run starts "
        "from, fine-tuned as it is; of several `parent:NAME`), the folder of an emitted network, torchvision:NAME, "
        "timm:NAME, or REFERENCE=WEIGHTS.safetensors; `none` is without. A run may change it until its first final "
        "training has ended.",
        metavar="TEACHER",
    ),
    RunOption(
        "distill_weight",
        float,
        0.8,
        _BASELINES,
        "Share of the teacher in the loss.",
        minimum=0,
        maximum=1,
    ),
    RunOption(
        "distill_temperature",
        float,
        1.0,
        _BASELINES,
        "Divides the logits of teacher and student.",
        above=0,
    ),
    RunOption(
        "workers",
        int | None,
        None,
        _MACHINE,
        "Trials at once, each in a process of its own.",
        unset="one per CPU core, or per GPU",
        minimum=1,
    ),
    RunOption("threads_per_trial", int, 1, _MACHINE, "CPU threads of one training.", minimum=1),
    RunOption(
        "processes_per_trial",
        int,
        1,
        _MACHINE,
        "Processes that share each step of a training, each on a GPU of its own where the device is cuda.",
        minimum=1,
    ),
    RunOption(
        "device",
        Device,
        "auto",
        _MACHINE,
        "Where networks are trained; auto is cuda where there is one. A run keeps its device.",
    ),
    RunOption(
        "loader",
        LoaderChoice,
        "auto",
        _MACHINE,
        "Who makes the batches: NVIDIA DALI, Pillow and torchvision, or DALI for image folders where it is installed "
        "(auto).",
    ),
    RunOption(
        "trial_timeout",
        float | None,
        None,
        _MACHINE,
        "Seconds after which a trial is ended.",
        metavar="SECONDS",
        unset="no limit",
        above=0,
    ),
)

RUN_OPTIONS: Mapping[str, RunOption] = MappingProxyType({option.name: option for option in _OPTIONS})
"""Every option of a run by its name, panel by panel: options of ``narsfast run``, keywords of `narsfast.search`."""

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
"""The options that are `narsfast.training.TrainerSettings`: they go with every command that trains."""
