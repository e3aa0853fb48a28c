"""The steps of one training: batches, loss, gradients, optimizer, validation, and the state to resume from."""

from __future__ import annotations

import hashlib
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from narsfast import __version__
from narsfast.arch import share_norms
from narsfast.common.trial import EpochMetrics
from narsfast.data import Augmentation, Dataset, Loader, loader_version, mixed, steps_per_epoch
from narsfast.errors import UserError
from narsfast.space import Recipe

from ._backend import resolve_backend
from ._class_balance import class_weights, cross_entropy, weighted
from ._device import to_device
from ._distillation import Teacher
from ._divergence import DivergedError, Divergence
from ._evaluate import Evaluation, evaluate
from ._norms import RunningStatistics
from ._optimizer import build_optimizer, group_rates
from ._optimizers import effective_backend, optimizer_entry
from ._parts import Freezing, recipe_parts
from ._precision import Precision
from ._process_group import ProcessGroup
from ._schedule import learning_rate
from ._settings import TrainerSettings
from ._start import StartingPoint
from ._weights import FlatWeights, MovingAverage

Report = Callable[[float], None]

_CHECK_STEPS = 32  # steps between checks of the loss and reports of progress


class Loop:
    """The state of one training.

    Attributes:
        curve: Validation accuracy in percent of each epoch so far.
        losses: Mean training loss of each epoch so far.
        cross_entropies: On the validation split, of each epoch so far; None where it is not finite or not known.
    """

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
        device: torch.device,
        loader: Loader,
        group: ProcessGroup,
        report: Report | None,
        teacher: Teacher | None,
        start: StartingPoint | None,
    ) -> None:
        self.curve: list[float] = []
        self.losses: list[float] = []
        self.cross_entropies: list[float | None] = []
        self._network = network
        self._resolution = resolution
        self._recipe = recipe
        self._data = data
        self._seed = seed
        self._schedule_epochs = schedule_epochs
        self._settings = settings
        self._device = device
        self._loader = loader
        self._group = group
        self._report = report
        self._batch = min(recipe.batch_size, len(data.train))
        if self._batch < 2 * group.size:
            raise UserError(
                f"batch_size is {self._batch}; {group.size} processes need at least {2 * group.size}, start fewer"
            )
        # The same number in every process, of at least two images: their norms wait for each other.
        self._parts = min(settings.accumulate, max(1, self._batch // 2 // group.size))
        self._own_norms = share_norms(network) if group.size > 1 else None
        self._statistics = RunningStatistics(network)
        if device.type == "cuda":  # on the CPU a step takes as long with either layout of the weights
            network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._teacher = teacher
        self._start = start
        self._weights = FlatWeights(network, recipe_parts(network, recipe))
        group.broadcast_(*self._weights.vectors())
        self._average = MovingAverage(self._weights.vectors(), recipe.ema_decay) if recipe.ema else None
        self._optimizer = build_optimizer(
            recipe,
            *self._weights.groups(whole_tensors=optimizer_entry(recipe.optimizer).whole_tensors),
            parts=self._weights.parts,
            average=self._average,
            backend=settings.optim_backend,
        )
        self._rates = group_rates(self._optimizer, self._weights.parts, recipe.optimizer)
        self._backend = effective_backend(
            recipe.optimizer, resolve_backend(settings.optim_backend, device.type)
        )
        self._precision = Precision(settings.precision, device)
        self._side = recipe.training_side(resolution)
        self._augmentation = Augmentation.of(recipe)
        self._steps = recipe.epoch_steps(steps_per_epoch(data.train, recipe.batch_size))
        self._total = self._steps * epochs
        self._freezing = Freezing(network, recipe, self._weights, self._steps * schedule_epochs)
        labels, classes = data.train.labels, len(data.classes)
        self._class_weights = (
            class_weights(labels, classes).to(device) if recipe.class_balance == "loss" else None
        )
        if recipe.class_balance != "none":
            labels = np.unique(labels)  # each class has the same part in the loss of a guess
        self._divergence = Divergence(labels, classes, recipe.label_smoothing, distilled=teacher is not None)

    def epoch(self, epoch: int) -> None:
        """Train one epoch.

        Raises:
            DivergedError: The loss is not finite, or has been too high for too long.
        """
        self._network.train()
        self._freezing.set_modes()
        total = torch.zeros((), device=self._device)
        for index, (images, labels) in enumerate(islice(self._loaded(epoch), self._steps)):
            step = epoch * self._steps + index
            total += self._step(to_device(images, self._device), to_device(labels, self._device), step)
            if (index + 1) % _CHECK_STEPS == 0 or index + 1 == self._steps:
                loss = self._total_loss(total)
                if not math.isfinite(loss):
                    raise DivergedError("the loss is not finite")
                if self._report is not None:
                    self._report((step + 1) / self._total)
        self.losses.append(loss / self._steps)
        self._divergence.check(self.losses)

    def timed_steps(self, warm: int, steps: int) -> tuple[int, float]:
        """Take some steps that are not counted and then others; return how many images these took, and seconds."""
        self._network.train()
        self._freezing.set_modes()
        loaded = itertools.chain.from_iterable(self._loaded(epoch) for epoch in itertools.count())
        images, began = 0, 0.0
        for index, (batch, labels) in enumerate(islice(loaded, warm + steps)):
            if index == warm:
                began = time.perf_counter()
            float(self._step(to_device(batch, self._device), to_device(labels, self._device), index))  # waits
            images += len(batch) if index >= warm else 0
        return images, time.perf_counter() - began

    def _loaded(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the training batches of an epoch."""
        return self._loader.batches(
            self._data.train,
            self._side,
            self._recipe.batch_size,
            seed=self._seed,
            epoch=epoch,
            training=True,
            augmentation=self._augmentation,
            share=self._group.share,
            balanced=self._recipe.class_balance == "sampling",
        )

    def _total_loss(self, value: Tensor) -> float:
        """Return the sum over the processes, which is the same in all of them, so that they diverge together."""
        value = value.clone()
        self._group.sum_(value)
        return float(value)

    def _step(self, images: Tensor, labels: Tensor, step: int) -> Tensor:
        """Take one step; return this process's part of the batch's mean loss."""
        recipe = self._recipe
        rate = learning_rate(recipe, step, self._steps, self._schedule_epochs)
        for parameters, multiple in zip(self._optimizer.param_groups, self._rates, strict=True):
            parameters["lr"] = rate * multiple
        self._statistics.at(step)
        self._freezing.at(step)
        targets = functional.one_hot(labels, len(self._data.classes)).to(images.dtype)
        images, targets = mixed(
            images, targets, mixup=recipe.mixup, cutmix=recipe.cutmix, seed=self._seed, step=step
        )
        counts: Sequence[Tensor | None] = [None] * self._parts
        if self._class_weights is not None:
            targets, each = weighted(targets, self._class_weights)
            counts = each.tensor_split(self._parts)
        self._weights.zero_grad()
        total = torch.zeros((), device=self._device)
        for part, wanted, count in zip(
            images.tensor_split(self._parts), targets.tensor_split(self._parts), counts, strict=True
        ):
            with self._precision.autocast():
                logits = self._network(part)
            loss = self._loss(part, logits.float(), wanted, count) * (len(part) / self._batch)
            torch.autograd.backward(self._precision.scaler.scale(loss))
            total += loss.detach()
        self._update()
        return total

    def _loss(self, images: Tensor, logits: Tensor, targets: Tensor, counts: Tensor | None) -> Tensor:
        smoothing = self._recipe.label_smoothing
        if self._teacher is None:
            return cross_entropy(logits, targets, smoothing, counts)
        return self._teacher.loss(images, logits, targets, smoothing, counts)

    def _update(self) -> None:
        """Take the optimizer's step with the gradients of all micro-batches and processes."""
        scaler, clip_norm = self._precision.scaler, self._settings.clip_norm
        self._group.sum_(*self._weights.gradients())
        if clip_norm is not None:
            scaler.unscale_(self._optimizer)
            nn.utils.clip_grad_norm_(self._weights.trained(), clip_norm)
        scaler.step(self._optimizer)
        scaler.update()

    def validate(self) -> None:
        """Append the validation accuracy, of the averaged weights where the recipe says so, to the curve."""
        with nullcontext() if self._average is None else self._average.applied():
            counts = self._evaluate()
        self.curve.append(counts.accuracy)
        self.cross_entropies.append(counts.cross_entropy if math.isfinite(counts.cross_entropy) else None)

    def _evaluate(self) -> Evaluation:
        return evaluate(
            self._network, self._data.val, self._resolution, group=self._group, loader=self._loader
        )

    def metrics(self, ended_well: bool) -> EpochMetrics:
        """Return what was measured in each epoch beside the curve.

        Where the weights are averaged, the others are evaluated here, after the last epoch of a training that ended
        well: a second pass in each epoch would be 3 to 8 % of a training where a tenth to a quarter of the images
        validate. That is this project's choice.
        """
        curve = tuple(self.curve)
        raw: tuple[float | None, ...] = curve
        if self._average is not None:
            raw = (*[None] * (len(curve) - 1), self._evaluate().accuracy) if ended_well else ()
        return EpochMetrics(
            training_loss=tuple(self.losses[: len(curve)]),
            cross_entropy=tuple(self.cross_entropies),
            raw_accuracy=raw,
            ema_accuracy=() if self._average is None else curve,
        )

    def arguments(self) -> dict[str, Any]:
        """Return everything that decides the result, in JSON types."""
        return {
            "versions": {"narsfast": __version__, "torch": str(torch.__version__)},
            "modules": hashlib.sha256(repr(self._network).encode()).hexdigest(),
            "network": {name: list(tensor.shape) for name, tensor in self._network.state_dict().items()},
            "resolution": self._resolution,
            "recipe": self._recipe.model_dump(mode="json"),
            "data": self._data.fingerprint(),
            **({} if self._data.content is None else {"content": self._data.content.fingerprint}),
            "seed": self._seed,
            "schedule_epochs": self._schedule_epochs,
            "settings": self._settings.model_dump(mode="json"),
            "loader": [self._loader.name, loader_version(self._loader.name)],
            "optim_backend": self._backend,
            "device": self._device.type,
            "processes": self._group.size,
            "teacher": None if self._teacher is None else self._teacher.describe(),
            **({} if self._start is None else {"start": self._start.digest()}),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return everything that later epochs depend on, apart from the random generators."""
        return {
            "network": self._network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "average": None if self._average is None else self._average.state_dict(),
            "scaler": self._precision.scaler.state_dict(),
            "curve": self.curve,
            "losses": self.losses,
            "cross_entropies": self.cross_entropies,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what `state_dict` returned."""
        self._network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        self._precision.scaler.load_state_dict(state["scaler"])
        self.curve = state["curve"]
        self.losses = state["losses"]
        # Versions 0.1 and 0.2 did not keep them.
        self.cross_entropies = state.get("cross_entropies", [None] * len(self.curve))

    def finish(self) -> nn.Module:
        """Return the network with its final weights, each tensor with memory of its own again."""
        if self._average is not None:
            self._average.swap()
        self._statistics.restore()
        self._freezing.end()
        if self._own_norms is not None:
            self._own_norms()
        for tensor in (*self._network.parameters(), *self._network.buffers()):
            tensor.data = tensor.data.clone()
            tensor.grad = None
        return self._network.eval()
