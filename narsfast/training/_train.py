"""One training: a network, a recipe, data -> learning curve and weights."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import torch
from torch import nn

from narsfast.arch import NetworkSpec
from narsfast.common.threads import torch_threads
from narsfast.common.trial import Outcome
from narsfast.data import Dataset, Loader, derived_seed, open_loader, resolve_loader
from narsfast.errors import UserError
from narsfast.space import Recipe

from ._checkpoint import Checkpoint
from ._device import training_device
from ._distil import Teacher
from ._divergence import DivergedError
from ._loop import Loop, Report
from ._ranks import Ranks
from ._settings import TrainerSettings

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True)
class Training:
    """What came out of one training.

    Attributes:
        curve: validation accuracy in percent after each epoch, up to where it ended.
        losses: mean training loss of each epoch.
        outcome: ``ok`` or ``diverged``.
        seconds: wall-clock time.
        message: one line on an outcome other than ``ok``, else empty.
        network: with the final weights (the averaged ones where the recipe says so), in evaluation mode; None
            unless asked for or diverged.
    """

    curve: tuple[float, ...]
    losses: tuple[float, ...]
    outcome: Outcome
    seconds: float
    message: str = ""
    network: nn.Module | None = None


class TrainingOptions(TypedDict, total=False):
    """What `train_network` takes beside what is trained, and how long."""

    schedule_epochs: int | None
    settings: TrainerSettings | None
    report: Report | None
    keep_network: bool
    checkpoint: Path | None
    checkpoint_epochs: int
    teacher: Teacher | None


def train(
    network: NetworkSpec,
    recipe: Recipe,
    data: Dataset,
    epochs: int,
    seed: int,
    **options: Unpack[TrainingOptions],
) -> Training:
    """Train a network from scratch.

    Args:
        network: it is evaluated at its resolution, and trained at the recipe's share of it.
        recipe: how to train.
        data: train and val are read, test is not.
        epochs: to train.
        seed: of the trial.
        **options: as in `train_network`.

    Raises:
        UserError: as `train_network`; there is no such network, or the recipe has a drop path that it cannot take.
    """
    ops = (options.get("settings") or TrainerSettings()).ops

    def build() -> nn.Module:
        return network.build(
            len(data.classes), data.in_chans, dropout=recipe.dropout, drop_path=recipe.drop_path, ops=ops
        )

    return train_network(build, network.resolution, recipe, data, epochs=epochs, seed=seed, **options)


def train_network(
    build: Callable[[], nn.Module],
    resolution: int,
    recipe: Recipe,
    data: Dataset,
    *,
    epochs: int,
    seed: int,
    schedule_epochs: int | None = None,
    settings: TrainerSettings | None = None,
    report: Report | None = None,
    keep_network: bool = False,
    checkpoint: Path | None = None,
    checkpoint_epochs: int = 1,
    teacher: Teacher | None = None,
) -> Training:
    """Trains a network from scratch.

    The same arguments and versions give the same result on the same kind of machine: initial weights, dropout
    and drop path come from a generator seeded by `seed` (torch's global state is restored), order and
    augmentation are keyed by (seed, epoch, sample).

    Args:
        build: makes the network on the CPU, with the recipe's dropout and drop path already in it.
        resolution: side of the images that it is evaluated at, pixels; it is trained at the recipe's share of it.
        recipe: how to train.
        data: train and val are read, test is not.
        epochs: to train.
        seed: of the trial.
        schedule_epochs: length of the learning-rate schedule, at least `epochs` (default: `epochs`).
        settings: how the training is computed; None is every default.
        report: called with the share done, 0..1, every now and then.
        keep_network: hand back the trained network.
        checkpoint: file that keeps the state of the training while it goes on: one that was killed goes on from
            there, and its result is bit for bit the one without interruption. Deleted when the training is done.
        checkpoint_epochs: epochs from one checkpoint to the next.
        teacher: whose answers count in the loss; None is the labels alone.

    Raises:
        UserError: arguments that do not fit each other or this machine, or a checkpoint of other arguments.
    """
    schedule_epochs = epochs if schedule_epochs is None else schedule_epochs
    if not 1 <= epochs <= schedule_epochs:
        raise UserError(f"epochs is {epochs}; it must lie between 1 and the schedule's {schedule_epochs}")
    if checkpoint_epochs < 1:
        raise UserError(f"checkpoint_epochs is {checkpoint_epochs}; it must be at least 1")
    settings = settings or TrainerSettings()
    device = training_device(settings.device)
    loader = _loader(settings, data, device)
    ranks = Ranks.here()
    start = time.perf_counter()
    outcome: Outcome = "ok"
    message = ""
    own_generators = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
    with torch_threads(settings.threads_per_trial), own_generators:
        torch.manual_seed(derived_seed(seed))
        network = build()
        if ranks.rank > 0:
            torch.manual_seed(derived_seed(seed, ranks.rank))  # dropout of its own
        loop = Loop(
            network,
            resolution,
            recipe,
            data,
            seed=seed,
            epochs=epochs,
            schedule_epochs=schedule_epochs,
            settings=settings,
            device=device,
            loader=loader,
            ranks=ranks,
            report=report,
            teacher=teacher,
        )
        kept = None
        if checkpoint is not None:
            kept = Checkpoint(checkpoint, loop.arguments(), ranks, device)
            if (state := kept.load()) is not None:
                loop.load_state_dict(state)
        try:
            for epoch in range(len(loop.curve), epochs):
                loop.epoch(epoch)
                loop.validate()
                if kept is not None and (epoch + 1) % checkpoint_epochs == 0:
                    kept.save(loop.state_dict())
        except DivergedError as error:
            outcome, message = "diverged", f"{error} in epoch {len(loop.curve) + 1}"
        if kept is not None:
            kept.remove()
        trained = loop.finish() if keep_network and outcome == "ok" else None
    seconds = time.perf_counter() - start
    return Training(tuple(loop.curve), tuple(loop.losses), outcome, seconds, message, trained)


def _loader(settings: TrainerSettings, data: Dataset, device: torch.device) -> Loader:
    """The loader of the settings; DALI decodes on the device of the training."""
    name = resolve_loader(settings.loader, data)
    decoder = device.index or 0 if name == "dali" and device.type == "cuda" else None
    return open_loader(name, data=data, threads=settings.threads_per_trial, device=decoder)
