"""Distillation: a trained teacher's answers beside the labels.

The weights, 0.8 for the teacher and 0.2 for the labels, are recalled of the paper's two-step distillation and not
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


@dataclass(frozen=True)
class Distillation:
    """Who teaches a training, and how much that counts.

    Attributes:
        weights: file of the teacher's weights (safetensors).
        network: the teacher.
        resize: whether the student's images are resized to the teacher's resolution; else it sees them as they are.
        mean, std: normalization that the teacher was trained with, per channel; None is the data's.
        padding: padding mode of a definition.
        weight: share of the teacher in the loss, 0..1.
        temperature: divides both networks' logits.
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
    """A trained network that is asked about the images of another one's training; it never changes.

    Args:
        distillation: the network, and how much it counts.
        data: what the student is trained on.

    Raises:
        UserError: there is no such network, or its weights do not fit the data's classes and channels.
    """

    def __init__(self, distillation: Distillation, data: Dataset) -> None:
        self._distillation = distillation
        with torch.random.fork_rng(devices=[]):  # fresh weights are drawn, and no training may see that
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
        """What decides its answers, in JSON types; the weights by their hash, wherever they lie."""
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
        """What the teacher says of the student's images (b, C, H, W) float32: (b, classes) float32."""
        device = images.device
        images = images * self._scale.to(device) + self._shift.to(device)
        side = self._distillation.network.resolution
        if self._distillation.resize and images.shape[-1] != side:
            images = functional.interpolate(
                images, size=(side, side), mode="bilinear", align_corners=False, antialias=True
            )
        answer: Tensor = self._network.to(device)(images)
        return answer.float()

    def loss(self, images: Tensor, logits: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
        """`distilled_loss` of the student's logits on these images."""
        distillation = self._distillation
        return distilled_loss(
            logits,
            targets,
            self.logits(images),
            label_smoothing=label_smoothing,
            weight=distillation.weight,
            temperature=distillation.temperature,
        )


def distilled_loss(
    logits: Tensor,
    targets: Tensor,
    teacher_logits: Tensor,
    *,
    label_smoothing: float,
    weight: float,
    temperature: float,
) -> Tensor:
    """``(1 - weight) * cross entropy + weight * T**2 * KL(teacher || student)``, means over the batch.

    Args:
        logits: of the student, (b, classes) float32.
        targets: (b, classes) float32: shares of the classes.
        teacher_logits: (b, classes) float32.
        label_smoothing: of the cross entropy with the targets.
        weight: share of the teacher, 0..1.
        temperature: T, divides both logits in the divergence; T**2 keeps the size of its gradients (Hinton et al.,
            2015).
    """
    hard = functional.cross_entropy(logits, targets, label_smoothing=label_smoothing)
    soft = functional.kl_div(
        functional.log_softmax(logits / temperature, dim=1),
        functional.log_softmax(teacher_logits / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )
    return (1 - weight) * hard + weight * temperature**2 * soft
