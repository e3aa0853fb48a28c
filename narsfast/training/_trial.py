"""One trial as an executor runs it: everything it needs travels in one picklable task."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import nn

from narsfast.arch import WEIGHTS_FILE, NetworkSpec, save_weights
from narsfast.common.machine import machine_error, machine_errors
from narsfast.common.preparation import Preparation
from narsfast.common.trial import EpochMetrics, Outcome, Trial
from narsfast.data import Dataset, FolderOptions, shared_data
from narsfast.errors import MachineError, UserError
from narsfast.space import Recipe

from ._checkpoint import CHECKPOINT_FILE
from ._distillation import Distillation, Teacher
from ._process_group import ProcessGroup
from ._processes import run_in_processes
from ._settings import TrainerSettings
from ._start import StartingPoint
from ._train import Training, TrainingOptions, train

_OTHERS = 0.05
_CONTEXT = 1.5 * 2**30
"""Bytes of a GPU that other processes hold, at least, where they are to blame for its lack of memory: a share of it, and
more than the driver takes for a process of its own. Both are this project's choice."""
_UNITS = {"bytes": 1.0, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30, "TiB": 2.0**40}


class TaskData(TypedDict):
    """What a `TrialTask` is told of the data, by the names of its fields."""

    data: str
    data_resolution: int
    mirror: bool
    folder_options: FolderOptions
    content: str | None
    known: str | None


@dataclass(frozen=True)
class TrialTask:
    """Everything that one trial is told.

    Attributes:
        candidate: Id of the candidate.
        network: The network to train.
        recipe: Fields of `narsfast.space.Recipe`; others keep their default.
        data: As `narsfast.data.load_data` takes it: ``digits``, a folder or a stored data set.
        epochs: Number of epochs.
        schedule_epochs: Length of the learning-rate schedule.
        seed: Of the trial.
        settings: How the training is computed.
        output: Folder for ``weights.safetensors`` at the end of the schedule, and until the trial is stored for a
            checkpoint after each epoch, from which a task of more epochs goes on; None keeps nothing.
        keep_weights: Whether that folder is for the weights too, and not for the checkpoint alone.
        checkpoint_seconds: Least seconds from one checkpoint to the next; above 0 none is kept to go on from later.
        data_resolution: The largest resolution of the run, pixels: data that is loaded for it serves all its trials.
        mirror: Whether a mirrored image keeps its class.
        folder_options: How image files are found and read.
        content: Fingerprint of the data, which must be what is trained on; None takes whatever is there.
        known: File of the data's content as it was read before.
        distillation: The teacher; None is none.
        start: The network whose weights it starts from; None is fresh ones.
        preparation: How images are normalized and resized; None is by the data.
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
    keep_weights: bool = True
    checkpoint_seconds: float = 0.0
    data_resolution: int = 320
    mirror: bool = True
    folder_options: FolderOptions = field(default_factory=FolderOptions)
    content: str | None = None
    known: str | None = None
    distillation: Distillation | None = None
    start: StartingPoint | None = None
    preparation: Preparation | None = None

    def dataset(self) -> Dataset:
        """Return the data, which is loaded once per process, as the network is given its images."""
        return shared_data(
            self.data,
            self.data_resolution,
            self.mirror,
            self.folder_options,
            known=self.known,
            content=self.content,
        ).prepared(self.preparation)

    def build(self, data: Dataset) -> nn.Module:
        """Return the network for the classes and channels of the data, with fresh weights."""
        padding = "published" if self.start is None else self.start.padding
        return self.network.build(len(data.classes), data.in_chans, padding=padding)


def run_trial(task: TrialTask, report: Callable[[float], None] | None = None) -> Trial:
    """Train one candidate.

    The data is loaded once per process. Divergence, a network that is too large for the device and any other failure
    that is the candidate's own are outcomes; the learning curve of a training that failed is dropped, as it cannot be
    trusted. A task with several `processes_per_trial` is trained by as many; where this process is one of them already,
    it does its part. The checkpoint stays until the trial is stored (`remove_checkpoint`).

    Args:
        task: The candidate, and how to train it.
        report: Called with the share done, 0 to 1.

    Raises:
        MachineError: The machine disturbed the training, which says nothing about the candidate.
        UserError: The data, the recipe or the settings cannot be used, in this trial and in any other of the run.
    """
    group = ProcessGroup.current()
    processes = task.settings.processes_per_trial
    if processes > 1 and group.size == 1:
        return run_in_processes(task, processes, report)
    with machine_errors():
        return _run(task, group, report)


def remove_checkpoint(task: TrialTask) -> None:
    """Remove the checkpoint of a training that has ended, once its trial is stored."""
    if task.output is not None:
        Path(task.output, CHECKPOINT_FILE).unlink(missing_ok=True)


def _run(task: TrialTask, group: ProcessGroup, report: Callable[[float], None] | None) -> Trial:
    start = time.perf_counter()
    data = task.dataset()
    recipe = Recipe.of(task.recipe)
    curve, metrics = tuple[float, ...](), EpochMetrics()
    outcome: Outcome
    try:
        training = _train(task, recipe, data, report)
        if task.output is not None and training.network is not None and group.rank == 0:
            save_weights(training.network, Path(task.output, WEIGHTS_FILE))
        curve, metrics = training.curve, training.metrics
        outcome, message = training.outcome, training.message
    except UserError:
        raise
    except Exception as error:
        outcome, message = _own_failure(error)
    seconds = time.perf_counter() - start
    return Trial(task.candidate, curve, outcome, task.epochs, seconds, message, metrics)


def _train(
    task: TrialTask, recipe: Recipe, data: Dataset, report: Callable[[float], None] | None
) -> Training:
    options: TrainingOptions = {
        "schedule_epochs": task.schedule_epochs,
        "settings": task.settings,
        "report": report,
        "keep_network": task.output is not None and task.keep_weights and task.epochs == task.schedule_epochs,
        "checkpoint": None if task.output is None else Path(task.output, CHECKPOINT_FILE),
        "checkpoint_seconds": task.checkpoint_seconds,
        "keep_checkpoint": True,
        "teacher": None if task.distillation is None else Teacher(task.distillation, data),
        "start": task.start,
    }
    return train(task.network, recipe, data, task.epochs, task.seed, **options)


def _own_failure(error: Exception) -> tuple[Outcome, str]:
    """Return the outcome of a training that failed by itself; raise again what is about the machine."""
    text = f"{type(error).__name__}: {error}".splitlines()[0]
    if isinstance(error, torch.OutOfMemoryError):
        if others_fill_device(str(error)):
            raise MachineError(
                f"other processes fill the GPU ({text})", "end them, or use fewer `workers`"
            ) from error
        return "out_of_memory", text
    if machine_error(error) is not None:
        raise error
    return ("out_of_memory" if "allocate memory" in text else "failed"), text


def others_fill_device(message: str) -> bool:
    """Tell from torch's message on lack of GPU memory whether other processes hold a considerable part of it.

    What neither is free nor held by this process's allocator is theirs, but for the driver's own share of a process.
    """
    before = ("total capacity of", "of which", "allocated memory", "and")
    total, free, allocated, reserved = (_bytes_after(words, message) for words in before)
    return total - free - allocated - reserved > max(_OTHERS * total, _CONTEXT)


def _bytes_after(words: str, message: str) -> float:
    found = re.search(rf"\b{words} ([\d.]+) ([KMGT]iB|bytes)", message)
    return 0.0 if found is None else float(found[1]) * _UNITS[found[2]]
