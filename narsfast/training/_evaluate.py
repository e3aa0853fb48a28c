"""Accuracy of a network on a split."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from narsfast.data import Loader, Split, batches

_BATCH = 128


@dataclass(frozen=True)
class Evaluation:
    """What a network says about a split.

    Attributes:
        accuracy: top-1, percent.
        logits: (n, classes) float32, in the split's order.
    """

    accuracy: float
    logits: Tensor


@contextmanager
def torch_threads(threads: int | None) -> Iterator[None]:
    """Inside, torch computes on `threads` threads; None leaves them as they are."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def evaluate(
    network: nn.Module,
    split: Split,
    resolution: int,
    threads: int | None = None,
    *,
    loader: Loader | None = None,
) -> Evaluation:
    """Evaluates a network on centre crops.

    The loaders resample a little differently, which can change the class of an image that is on the edge.

    Args:
        network: takes (b, channels, resolution, resolution) float32; its training mode is restored.
        split: the images.
        resolution: side of the images, pixels.
        threads: torch threads; None leaves them as they are.
        loader: makes the batches; None is the reference, Pillow.
    """
    load = batches if loader is None else loader.batches
    training = network.training
    network.eval()
    try:
        with torch_threads(threads), torch.inference_mode():
            logits = torch.cat([network(images) for images, _ in load(split, resolution, _BATCH)])
    finally:
        network.train(training)
    correct = (logits.argmax(dim=1) == torch.from_numpy(split.labels)).sum()
    return Evaluation(100.0 * int(correct) / len(split), logits.float().clone())
