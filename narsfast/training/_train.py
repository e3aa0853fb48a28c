"""One training: of a network, a recipe and data it makes a learning curve and weights."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import torch
from torch import nn

from narsfast.arch import NetworkSpec
from narsfast.common.options import OpsName
from narsfast.common.threads import torch_threads
from narsfast.common.trial import EpochMetrics, Outcome
from narsfast.data import Dataset, Loader, hash_seed, open_loader, resolve_loader
from narsfast.errors import UserError
from narsfast.space import Recipe

from ._checkpoint import Checkpoint
from ._device import training_device
from ._distillation import Teacher
from ._divergence import DivergedError
from ._loop import Loop, Report
from ._process_group import ProcessGroup
from ._settings import TrainerSettings
from ._start import StartingPoint, first_images

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True)
class Training:
    """What came out of one training.

    Attributes:
        curve: Validation accuracy in percent after each epoch, up to where the training ended.
        losses: Mean training loss of each epoch.
        outcome: ``ok`` or ``diverged``.
        seconds: Wall-clock time.
        message: One line on an outcome other than ``ok``, else empty.
        network: With the final weights (the averaged ones where the recipe says so), in evaluation mode; None where
            it was not asked for, or the training diverged.
        metrics: What else was measured in each epoch of the curve.
    """

    curve: tuple[float, ...]
    losses: tuple[float, ...]
    outcome: Outcome
    seconds: float
    message: str = ""
    network: nn.Module | None = None
    metrics: EpochMetrics = field(default_factory=EpochMetrics)


class TrainingOptions(TypedDict, total=False):
    """Optional arguments of `train_network`."""

    schedule_epochs: int | None
    settings: TrainerSettings | None
    report: Report | None
    keep_network: bool
    checkpoint: Path | None
    checkpoint_epochs: int
    checkpoint_seconds: float
    keep_checkpoint: bool
    teacher: Teacher | None
    start: StartingPoint | None


def train(
    network: NetworkSpec,
    recipe: Recipe,
    data: Dataset,
    epochs: int,
    seed: int,
    **options: Unpack[TrainingOptions],
) -> Training:
    """Train a network, from scratch or from a trained one.

    Args:
        network: It is evaluated at its resolution, and trained at the recipe's share of it.
        recipe: How to train.
        data: Train and val are read, test is not.
        epochs: Number of epochs.
        seed: Of the trial.
        **options: As in `train_network`.

    Raises:
        UserError: As in `train_network`; there is no such network, it has no drop path and the recipe has one, or the
            weights that it starts from are of another one.
    """
    ops = (options.get("settings") or TrainerSettings()).ops

    def build() -> nn.Module:
        return build_network(network, recipe, data, ops, options.get("start"))

    return train_network(build, network.resolution, recipe, data, epochs=epochs, seed=seed, **options)


def build_network(
    network: NetworkSpec, recipe: Recipe, data: Dataset, ops: OpsName, start: StartingPoint | None
) -> nn.Module:
    """Return a network as a training begins with it: with the recipe's dropout and drop path, and its start."""
    built = network.build(
        len(data.classes),
        data.in_chans,
        dropout=recipe.dropout,
        drop_path=recipe.drop_path,
        ops=ops,
        padding="published" if start is None else start.padding,
    )
    if start is not None:
        start.load(built, lambda: first_images(data, network.resolution))
    return built


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
    checkpoint_seconds: float = 0.0,
    keep_checkpoint: bool = False,
    teacher: Teacher | None = None,
    start: StartingPoint | None = None,
) -> Training:
    """Train a network with the weights that it is built with.

    The same arguments and versions give the same result on the same kind of machine: initial weights, dropout
    and drop path come from a generator seeded by `seed` (torch's global state is restored), order and
    augmentation are keyed by (seed, epoch, sample).

    Args:
        build: Returns the network on the CPU, with the recipe's dropout and drop path.
        resolution: Side of the images that it is evaluated at, pixels; it is trained at the recipe's share of it.
        recipe: How to train.
        data: Train and val are read, test is not.
        epochs: Number of epochs.
        seed: Of the trial.
        schedule_epochs: Length of the learning-rate schedule, at least `epochs` (default: `epochs`).
        settings: How the training is computed; None is every default.
        report: Called with the share done, 0 to 1, every now and then.
        keep_network: Whether to return the trained network.
        checkpoint: File that keeps the state of the training until it ends: one that was killed is resumed from
            there, and its result is bit for bit that of one without an interruption. So does one that is asked for more
            epochs of the same schedule.
        checkpoint_epochs: Epochs from one checkpoint to the next.
        checkpoint_seconds: Least seconds from the beginning, or a checkpoint, to the next one.
        keep_checkpoint: Whether the checkpoint of a training that ended well stays for the caller to remove, once what
            came out of it is safe.
        teacher: Part of the loss; None is the labels alone.
        start: Whose weights `build` loads; None is fresh ones.

    Raises:
        UserError: The arguments contradict each other or this machine, or the checkpoint is of other arguments.
    """
    schedule_epochs = epochs if schedule_epochs is None else schedule_epochs
    if not 1 <= epochs <= schedule_epochs:
        raise UserError(f"epochs is {epochs}; it must lie between 1 and the schedule's {schedule_epochs}")
    if checkpoint_epochs < 1:
        raise UserError(f"checkpoint_epochs is {checkpoint_epochs}; it must be at least 1")
    settings = settings or TrainerSettings()
    device = training_device(settings.device)
    loader = loader_of(settings, data, device)
    group = ProcessGroup.current()
    began = time.perf_counter()
    outcome: Outcome = "ok"
    message = ""
    own_generators = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
    with torch_threads(settings.threads_per_trial), own_generators:
        torch.manual_seed(hash_seed(seed))
        network = build()
        if group.rank > 0:
            torch.manual_seed(hash_seed(seed, group.rank))  # its own dropout
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
            group=group,
            report=report,
            teacher=teacher,
            start=start,
        )
        kept = None
        if checkpoint is not None:
            kept = Checkpoint(checkpoint, loop.arguments(), group, device)
            if (state := kept.load()) is not None:
                loop.load_state_dict(state)
            if len(loop.curve) > epochs:
                raise UserError(
                    f"epochs is {epochs}, and checkpoint {checkpoint} has {len(loop.curve)} of this training; remove it "
                    "to start over, or ask for more"
                )
        saved = began
        try:
            for epoch in range(len(loop.curve), epochs):
                loop.epoch(epoch)
                loop.validate()
                due = (epoch + 1) % checkpoint_epochs == 0
                if kept is not None and due and time.perf_counter() - saved >= checkpoint_seconds:
                    kept.save(loop.state_dict())
                    saved = time.perf_counter()
        except DivergedError as error:
            outcome, message = "diverged", f"{error} in epoch {len(loop.curve) + 1}"
        metrics = loop.metrics(ended_well=outcome == "ok")
        if kept is not None and not (keep_checkpoint and outcome == "ok"):
            kept.remove()
        trained = loop.finish() if keep_network and outcome == "ok" else None
    seconds = time.perf_counter() - began
    curve, losses = tuple(loop.curve), tuple(loop.losses)
    return Training(curve, losses, outcome, seconds, message, trained, metrics)


def loader_of(settings: TrainerSettings, data: Dataset, device: torch.device) -> Loader:
    """Open the loader of the settings; DALI decodes on the device of the training."""
    name = resolve_loader(settings.loader, data)
    decoder = device.index or 0 if name == "dali" and device.type == "cuda" else None
    return open_loader(name, data=data, threads=settings.threads_per_trial, device=decoder)
