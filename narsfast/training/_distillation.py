"""Distillation: the loss compares a network with a trained teacher, beside the labels.

The weights, 0.8 for the teacher and 0.2 for the labels, are recalled from the paper's two-step distillation and not
checked against it; the temperature is this project's choice.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from narsfast.arch import NetworkSpec, load_weights
from narsfast.data import Dataset

from ._class_balance import cross_entropy


@dataclass(frozen=True)
class Distillation:
    """Which teacher a training has, and how much it counts.

    Attributes:
        weights: File of the teacher's weights (safetensors).
        network: The teacher.
        resize: Whether the student's images are resized to the teacher's resolution; otherwise it sees them as they are.
        mean: That the teacher's images were normalized with, per channel; None is the data's.
        std: The same for the standard deviation.
        padding: Padding mode of a definition.
        weight: Share of the teacher in the loss, 0 to 1.
        temperature: Divides the logits of both networks.
    """

    weights: str
    network: NetworkSpec
    resize: bool = True
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    padding: str = "published"
    weight: float = 0.8
    temperature: float = 1.0


class Teacher:
    """A trained network that labels the images of another network's training; it never changes.

    Args:
        distillation: The network, and how much it counts.
        data: That the student is trained on.

    Raises:
        UserError: There is no such network, or its weights do not fit the data's classes and channels.
    """

    def __init__(self, distillation: Distillation, data: Dataset) -> None:
        self._distillation = distillation
        with torch.random.fork_rng(devices=[]):  # drawing fresh weights must not change a training
            self._network = distillation.network.build(
                len(data.classes), data.in_chans, padding=distillation.padding
            )
        load_weights(self._network, distillation.weights)
        self._network.eval().requires_grad_(False)
        self._digest = hashlib.sha256(Path(distillation.weights).read_bytes()).hexdigest()
        preprocess = data.preprocess
        mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (preprocess.mean, preprocess.std))
        own_mean, own_std = (
            default if values is None else torch.tensor(values).view(1, -1, 1, 1)
            for values, default in ((distillation.mean, mean), (distillation.std, std))
        )
        self._scale, self._shift = std / own_std, (mean - own_mean) / own_std

    def describe(self) -> dict[str, Any]:
        """Return everything that decides its answers, in JSON types; the weights by their hash, not their path."""
        distillation = self._distillation
        source = distillation.network.source
        described = {
            "weights": self._digest,
            "definition": None if isinstance(source, str) else source.to_json(),
            "model": source if isinstance(source, str) else None,
            "resolution": distillation.network.resolution if distillation.resize else None,
            "mean": distillation.mean,
            "std": distillation.std,
            "padding": distillation.padding,
            "weight": distillation.weight,
            "temperature": distillation.temperature,
        }
        return {name: value for name, value in described.items() if value is not None}

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """Return the teacher's logits (b, classes) float32 of the student's images (b, C, H, W) float32."""
        device = images.device
        images = images * self._scale.to(device) + self._shift.to(device)
        side = self._distillation.network.resolution
        if self._distillation.resize and images.shape[-1] != side:
            images = functional.interpolate(
                images, size=(side, side), mode="bilinear", align_corners=False, antialias=True
            )
        logits: Tensor = self._network.to(device)(images)
        return logits.float()

    def loss(
        self,
        images: Tensor,
        logits: Tensor,
        targets: Tensor,
        label_smoothing: float,
        counts: Tensor | None = None,
    ) -> Tensor:
        """Return the `distilled_loss` of the student's logits on these images."""
        distillation = self._distillation
        return distilled_loss(
            logits,
            targets,
            self.logits(images),
            label_smoothing=label_smoothing,
            weight=distillation.weight,
            temperature=distillation.temperature,
            counts=counts,
        )


def distilled_loss(
    logits: Tensor,
    targets: Tensor,
    teacher_logits: Tensor,
    *,
    label_smoothing: float,
    weight: float,
    temperature: float,
    counts: Tensor | None = None,
) -> Tensor:
    """Return ``(1 - weight) * cross entropy + weight * T**2 * KL(teacher || student)``, means over the batch.

    Args:
        logits: Of the student, (b, classes) float32.
        targets: Shares of the classes, (b, classes) float32.
        teacher_logits: (b, classes) float32.
        label_smoothing: Of the cross entropy with the targets.
        weight: Share of the teacher, 0 to 1.
        temperature: T, divides both logits in the divergence; T**2 keeps the size of its gradients (Hinton et al.,
            2015).
        counts: How much each image counts in both parts, (b,); None is all the same.
    """
    hard = cross_entropy(logits, targets, label_smoothing, counts)
    student, teacher = (functional.log_softmax(x / temperature, dim=1) for x in (logits, teacher_logits))
    if counts is None:
        soft = functional.kl_div(student, teacher, reduction="batchmean", log_target=True)
    else:
        each = functional.kl_div(student, teacher, reduction="none", log_target=True).sum(dim=1)
        soft = (each * counts).mean()
    return (1 - weight) * hard + weight * temperature**2 * soft
