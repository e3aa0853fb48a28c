"""One training: a network, a recipe, data -> learning curve and weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from narsfast.arch import Definition, create
from narsfast.data import Dataset, batches, derived_seed, mixed, steps_per_epoch
from narsfast.errors import UserError
from narsfast.space import Recipe
from narsfast.trial import Outcome

from ._distil import Teacher
from ._evaluate import evaluate, torch_threads
from ._optimizer import build_optimizer
from ._schedule import learning_rate
from ._settings import TrainerSettings
from ._weights import FlatWeights, MovingAverage

Report = Callable[[float], None]

_LOST_FACTOR = 2.0  # a mean loss this many times a uniform guess's ...
_LOST_EPOCHS = 3  # ... for so many epochs in a row is divergence (this project's choice)
_CHECK_STEPS = 32  # steps between looks at the loss and reports of progress


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


class _DivergedError(Exception):
    """The loss is not a number any more, or stays far above a guess's."""


def train(
    definition: Definition,
    recipe: Recipe,
    data: Dataset,
    epochs: int,
    seed: int,
    *,
    schedule_epochs: int | None = None,
    settings: TrainerSettings | None = None,
    report: Report | None = None,
    keep_network: bool = False,
    teacher: Teacher | None = None,
) -> Training:
    """Trains the network of a definition from scratch.

    The same arguments and versions give the same result on the same kind of machine: initial weights, dropout
    and drop path come from a generator seeded by `seed` (torch's global state is restored), order and
    augmentation are keyed by (seed, epoch, sample).

    Args:
        definition: the architecture; its resolution is trained and evaluated at.
        recipe: how to train.
        data: train and val are read, test is not.
        epochs: to train.
        seed: of the trial.
        schedule_epochs: length of the learning-rate schedule, at least `epochs` (default: `epochs`).
        settings: how the training is computed; None is every default.
        report: called with the share done, 0..1, every now and then.
        keep_network: hand back the trained network.
        teacher: whose answers count in the loss; None is the labels alone.
    """

    settings = settings or TrainerSettings()

    def build() -> nn.Module:
        return create(
            definition,
            num_classes=len(data.classes),
            in_chans=data.in_chans,
            dropout=recipe.dropout,
            drop_path=recipe.drop_path,
            ops=settings.ops,
        )

    return train_network(
        build,
        definition.resolution,
        recipe,
        data,
        epochs=epochs,
        seed=seed,
        schedule_epochs=schedule_epochs,
        settings=settings,
        report=report,
        keep_network=keep_network,
        teacher=teacher,
    )


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
    teacher: Teacher | None = None,
) -> Training:
    """`train` for any network: `build` makes it, with the recipe's dropout and drop path already in it."""
    schedule_epochs = epochs if schedule_epochs is None else schedule_epochs
    if not 1 <= epochs <= schedule_epochs:
        raise UserError(f"epochs is {epochs}; it must lie between 1 and the schedule's {schedule_epochs}")
    settings = settings or TrainerSettings()
    start = time.perf_counter()
    curve: list[float] = []
    losses: list[float] = []
    outcome: Outcome = "ok"
    message = ""
    with torch_threads(settings.threads_per_trial), torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed))
        network = build()
        loop = _Loop(
            network,
            resolution,
            recipe,
            data,
            seed=seed,
            epochs=epochs,
            schedule_epochs=schedule_epochs,
            settings=settings,
            report=report,
            teacher=teacher,
        )
        try:
            for epoch in range(epochs):
                losses.append(loop.epoch(epoch))
                curve.append(loop.validate())
        except _DivergedError as error:
            outcome, message = "diverged", f"{error} in epoch {len(curve) + 1}"
        kept = loop.finish() if keep_network and outcome == "ok" else None
    return Training(tuple(curve), tuple(losses), outcome, time.perf_counter() - start, message, kept)


class _Loop:
    """The state of one training."""

    def __init__(
        self,
        network: nn.Module,
        resolution: int,
        recipe: Recipe,
        data: Dataset,
        *,
        seed: int,
        epochs: int,
        schedule_epochs: int,
        settings: TrainerSettings,
        report: Report | None,
        teacher: Teacher | None,
    ) -> None:
        self._network = network
        self._resolution = resolution
        self._recipe = recipe
        self._data = data
        self._seed = seed
        self._schedule_epochs = schedule_epochs
        self._report = report
        self._teacher = teacher
        self._weights = FlatWeights(network)
        self._average = MovingAverage(self._weights.vectors(), recipe.ema_decay) if recipe.ema else None
        self._optimizer = build_optimizer(
            recipe,
            [self._weights.decayed],
            [self._weights.plain],
            average=self._average,
            backend=settings.optim_backend,
        )
        self._steps = steps_per_epoch(data.train, recipe.batch_size)
        self._total = self._steps * epochs
        self._lost = _LOST_FACTOR * math.log(len(data.classes))
        self._lost_epochs = 0

    def epoch(self, epoch: int) -> float:
        """Trains one epoch and returns its mean loss."""
        self._network.train()
        total = torch.zeros(())
        for index, (images, labels) in enumerate(
            batches(
                self._data.train,
                self._resolution,
                self._recipe.batch_size,
                seed=self._seed,
                epoch=epoch,
                training=True,
                augmentation=self._recipe.augmentation,
            )
        ):
            step = epoch * self._steps + index
            total += self._step(images, labels, step)
            if (index + 1) % _CHECK_STEPS == 0 or index + 1 == self._steps:
                if not math.isfinite(float(total)):
                    raise _DivergedError("the loss is not finite")
                if self._report is not None:
                    self._report((step + 1) / self._total)
        mean = float(total) / self._steps
        self._lost_epochs = self._lost_epochs + 1 if mean > self._lost else 0
        if self._lost_epochs == _LOST_EPOCHS:
            raise _DivergedError(
                f"the loss stays above {self._lost:.2f}, {_LOST_FACTOR:g} times a uniform guess's,"
            )
        return mean

    def _step(self, images: Tensor, labels: Tensor, step: int) -> Tensor:
        recipe = self._recipe
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(recipe, step, self._steps, self._schedule_epochs)
        targets = functional.one_hot(labels, len(self._data.classes)).to(images.dtype)
        images, targets = mixed(images, targets, recipe.mixup, self._seed, step)
        self._weights.zero_grad()
        loss = self._loss(images, self._network(images), targets)
        torch.autograd.backward(loss)
        self._optimizer.step()
        return loss.detach()

    def _loss(self, images: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
        smoothing = self._recipe.label_smoothing
        if self._teacher is None:
            return functional.cross_entropy(logits, targets, label_smoothing=smoothing)
        return self._teacher.loss(images, logits, targets, smoothing)

    def validate(self) -> float:
        """Validation accuracy in percent, of the averaged weights where the recipe says so."""
        if self._average is None:
            return evaluate(self._network, self._data.val, self._resolution).accuracy
        with self._average.applied():
            return evaluate(self._network, self._data.val, self._resolution).accuracy

    def finish(self) -> nn.Module:
        """The network with its final weights, each tensor with memory of its own again."""
        if self._average is not None:
            self._average.swap()
        for tensor in (*self._network.parameters(), *self._network.buffers()):
            tensor.data = tensor.data.clone()
            tensor.grad = None
        return self._network.eval()
