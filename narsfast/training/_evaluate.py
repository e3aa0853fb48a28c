"""Accuracy and cross-entropy of a network on a split."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from narsfast.common.threads import torch_threads
from narsfast.data import Loader, Split, batches, split_share

from ._device import to_device
from ._process_group import ProcessGroup

_BATCH = 128


@dataclass(frozen=True)
class Evaluation:
    """What a network says about a split.

    Attributes:
        accuracy: Top-1, percent; of the whole split, also where processes share it.
        cross_entropy: Mean over the whole split, nats.
        logits: (n, classes) float32 on the CPU, in the split's order; of this process's part of it.
    """

    accuracy: float
    cross_entropy: float
    logits: Tensor


def evaluate(
    network: nn.Module,
    split: Split,
    resolution: int,
    threads: int | None = None,
    *,
    group: ProcessGroup | None = None,
    loader: Loader | None = None,
) -> Evaluation:
    """Evaluate a network on center crops, in float32.

    The loaders resample a little differently, which can change the predicted class of an image between two classes.

    Args:
        network: Takes (b, channels, resolution, resolution) float32 on its own device; its training mode is restored.
        split: The images.
        resolution: Side of the images, pixels.
        threads: Torch threads; None leaves them as they are.
        group: Processes of which each evaluates a part of the split with the same network; None is this one alone.
        loader: Makes the batches; None is the reference, Pillow.
    """
    group = group or ProcessGroup()
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    load = batches if loader is None else loader.batches
    training = network.training
    network.eval()
    try:
        with torch_threads(threads), torch.inference_mode():
            parts = load(split, resolution, _BATCH, share=group.share)
            found = [network(to_device(images, device)) for images, _ in parts]
            logits = torch.cat(found).float().cpu() if found else torch.zeros(0, 1)
    finally:
        network.train(training)
    labels = torch.from_numpy(split.labels[split_share(len(split), group.share)])
    correct = (logits.argmax(dim=1) == labels).sum().to(device)
    lost = functional.cross_entropy(logits, labels, reduction="sum").to(device)
    group.sum_(correct, lost)
    return Evaluation(100.0 * int(correct) / len(split), float(lost) / len(split), logits.clone())
