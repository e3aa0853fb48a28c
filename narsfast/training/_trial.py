"""One trial as an executor runs it: everything it needs travels in one picklable task."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from narsfast.arch import WEIGHTS_FILE, NetworkSpec, save_weights
from narsfast.common.trial import Outcome, Trial
from narsfast.data import Dataset, shared_data
from narsfast.errors import UserError
from narsfast.space import Recipe

from ._checkpoint import CHECKPOINT_FILE
from ._distil import Distillation, Teacher
from ._processes import run_in_processes
from ._ranks import Ranks
from ._settings import TrainerSettings
from ._train import Training, TrainingOptions, train

_MEMORY_MESSAGES = ("can't allocate memory", "not enough memory", "out of memory")


@dataclass(frozen=True)
class TrialTask:
    """What to train.

    Attributes:
        candidate: id of the candidate.
        network: what to train.
        recipe: fields of `narsfast.space.Recipe`; what is not named keeps its default.
        data: what `narsfast.data.load_data` takes: ``digits``, a folder or a stored data set.
        epochs: to train.
        schedule_epochs: length of the learning-rate schedule.
        seed: of the trial.
        settings: how the training is computed.
        output: folder that gets ``weights.safetensors``, and while the training goes on a checkpoint after each
            epoch; None keeps nothing.
        data_resolution: the largest resolution of the run, pixels: data that is loaded for it serves all its trials.
        mirror: whether a mirrored image keeps its class.
        distillation: who teaches, beside the labels; None is nobody.
    """

    candidate: str
    network: NetworkSpec
    recipe: Mapping[str, Any]
    data: str
    epochs: int
    schedule_epochs: int
    seed: int
    settings: TrainerSettings = field(default_factory=TrainerSettings)
    output: str | None = None
    data_resolution: int = 320
    mirror: bool = True
    distillation: Distillation | None = None


def run_trial(task: TrialTask, report: Callable[[float], None] | None = None) -> Trial:
    """Trains one candidate.

    The data is loaded once a process. Divergence, lack of memory and any other failure of the training are
    outcomes; the learning curve of a training that fell over is lost, as nothing of it can be trusted. A task with
    several `processes_per_trial` is trained by as many; where this process is one of those already, it does its part.

    Args:
        task: what to train.
        report: called with the share done, 0..1.

    Raises:
        UserError: the data, the recipe or the settings cannot be used; then no trial of the run could.
    """
    ranks = Ranks.here()
    processes = task.settings.processes_per_trial
    if processes > 1 and ranks.size == 1:
        return run_in_processes(task, processes, report)
    start = time.perf_counter()
    data = shared_data(task.data, task.data_resolution, task.mirror)
    recipe = Recipe.of(task.recipe)
    curve: tuple[float, ...] = ()
    outcome: Outcome
    try:
        training = _train(task, recipe, data, report)
        if task.output is not None and training.network is not None and ranks.rank == 0:
            save_weights(training.network, Path(task.output, WEIGHTS_FILE))
        curve, outcome, message = training.curve, training.outcome, training.message
    except UserError:
        raise
    except Exception as error:
        outcome, message = _classify(error)
    return Trial(task.candidate, curve, outcome, task.epochs, time.perf_counter() - start, message)


def _train(
    task: TrialTask, recipe: Recipe, data: Dataset, report: Callable[[float], None] | None
) -> Training:
    options: TrainingOptions = {
        "schedule_epochs": task.schedule_epochs,
        "settings": task.settings,
        "report": report,
        "keep_network": task.output is not None,
        "checkpoint": None if task.output is None else Path(task.output, CHECKPOINT_FILE),
        "teacher": None if task.distillation is None else Teacher(task.distillation, data),
    }
    return train(task.network, recipe, data, task.epochs, task.seed, **options)


def _classify(error: Exception) -> tuple[Outcome, str]:
    text = f"{type(error).__name__}: {error}".splitlines()[0]
    memory = isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(part in str(error).lower() for part in _MEMORY_MESSAGES)
    )
    return ("out_of_memory" if memory else "failed"), text
