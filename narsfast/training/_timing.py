"""How long trainings take here, measured by a few steps of one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from narsfast.common.machine import machine_errors
from narsfast.common.threads import torch_threads
from narsfast.data import hash_seed
from narsfast.space import Recipe

from ._device import training_device
from ._evaluate import evaluate
from ._loop import Loop
from ._process_group import ProcessGroup
from ._train import build_network, loader_of
from ._trial import TrialTask

_WARM = 3


@dataclass(frozen=True)
class StepTimes:
    """Seconds of the parts of a training.

    Attributes:
        setup: To build the network and give it the weights that it starts from.
        step: Of a training step, per image.
        evaluation: Of a validation, per image.
    """

    setup: float
    step: float
    evaluation: float


def time_steps(task: TrialTask, steps: int, report: Callable[[float], None] | None = None) -> StepTimes:
    """Train for a few steps, after three that are not counted, and evaluate the validation split; nothing is kept.

    Args:
        task: The training; its number of epochs does not matter.
        steps: How many are timed.
        report: Called with the share done, 0 to 1.
    """
    with machine_errors():
        data = task.dataset()
        recipe, device = Recipe.of(task.recipe), training_device(task.settings.device)
        with torch_threads(task.settings.threads_per_trial), torch.random.fork_rng():
            torch.manual_seed(hash_seed(task.seed))
            began = time.perf_counter()
            network = build_network(task.network, recipe, data, task.settings.ops, task.start)
            setup = time.perf_counter() - began
            loop = Loop(
                network,
                task.network.resolution,
                recipe,
                data,
                seed=task.seed,
                schedule_epochs=task.schedule_epochs,
                epochs=task.epochs,
                settings=task.settings,
                device=device,
                loader=loader_of(task.settings, data, device),
                group=ProcessGroup(),
                report=None,
                teacher=None,
                start=task.start,
            )
            images, seconds = loop.timed_steps(_WARM, steps)
            if report is not None:
                report(0.5)
            evaluate(network, data.val, task.network.resolution)  # resizes the images, once for all trainings
            began = time.perf_counter()
            evaluate(network, data.val, task.network.resolution)
            evaluation = (time.perf_counter() - began) / len(data.val)
    return StepTimes(setup, seconds / images, evaluation)
