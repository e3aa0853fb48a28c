"""Accuracy of a network on a split."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from narsfast.common.threads import torch_threads
from narsfast.data import Loader, Split, batches, split_share

from ._device import moved
from ._ranks import Ranks

_BATCH = 128


@dataclass(frozen=True)
class Evaluation:
    """What a network says about a split.

    Attributes:
        accuracy: top-1, percent; of the whole split, also where processes share it.
        logits: (n, classes) float32 on the CPU, in the split's order; of this process's part of it.
    """

    accuracy: float
    logits: Tensor


def evaluate(
    network: nn.Module,
    split: Split,
    resolution: int,
    threads: int | None = None,
    *,
    ranks: Ranks | None = None,
    loader: Loader | None = None,
) -> Evaluation:
    """Evaluates a network on center crops, in float32.

    The loaders resample a little differently, which can change the class of an image that is on the edge.

    Args:
        network: takes (b, channels, resolution, resolution) float32 on its own device; its training mode is restored.
        split: the images.
        resolution: side of the images, pixels.
        threads: torch threads; None leaves them as they are.
        ranks: processes of which each evaluates a part of the split with the same network; None: this one alone.
        loader: makes the batches; None is the reference, Pillow.
    """
    ranks = ranks or Ranks()
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    load = batches if loader is None else loader.batches
    training = network.training
    network.eval()
    try:
        with torch_threads(threads), torch.inference_mode():
            parts = load(split, resolution, _BATCH, share=ranks.share)
            found = [network(moved(images, device)) for images, _ in parts]
            logits = torch.cat(found).float().cpu() if found else torch.zeros(0, 1)
    finally:
        network.train(training)
    labels = torch.from_numpy(split.labels[split_share(len(split), ranks.share)])
    correct = (logits.argmax(dim=1) == labels).sum().to(device)
    ranks.sum_(correct)
    return Evaluation(100.0 * int(correct) / len(split), logits.clone())
