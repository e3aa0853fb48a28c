"""Balance of the classes in the loss, as the recipe field `class_balance` asks for it.

An image counts by the inverse frequency of its class among the training images. All of it is this project's choice; the
formula is that of scikit-learn's ``class_weight="balanced"``, after King and Zeng, "Logistic regression in rare events
data", Political Analysis 2001.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional


def class_weights(labels: NDArray[np.int64], classes: int) -> Tensor:
    """Return the weight of each class, ``images / (classes with images * images of the class)``.

    So every class has the same part in the sum over all images, and the mean weight of the images is 1: neither the
    learning rate nor the limits of a diverging loss mean anything else.

    Args:
        labels: (n,) of the training images.
        classes: Number of classes; one without images has weight 0.

    Returns:
        (classes,) float32.
    """
    counts = np.bincount(labels, minlength=classes)
    present = counts > 0
    weights = np.zeros(classes)
    weights[present] = len(labels) / (present.sum() * counts[present])
    return torch.from_numpy(weights).float()


def weighted(targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return the targets of a weighted loss, and how much each image counts in it.

    A mixed image is a blend of images, and its loss a blend of their losses, each with the weight of its class: that
    is the loss for targets in proportion to share times weight, times the mean weight. So labels may be smoothed
    afterwards as ever, and mixing changes nothing in the balance.

    Args:
        targets: Shares of the classes, (b, classes) float.
        weights: (classes,) float, on the same device.

    Returns:
        Shares of the classes, (b, classes), and weights of the images, (b,).
    """
    blended = targets * weights
    total = blended.sum(dim=1)
    return blended / total[:, None], total


def cross_entropy(
    logits: Tensor, targets: Tensor, label_smoothing: float, counts: Tensor | None = None
) -> Tensor:
    """Return the mean cross entropy of a batch.

    Args:
        logits: (b, classes) float32.
        targets: Shares of the classes, (b, classes) float32.
        label_smoothing: Of the targets.
        counts: How much each image counts, (b,); None is all the same.
    """
    if counts is None:
        return functional.cross_entropy(logits, targets, label_smoothing=label_smoothing)
    each = functional.cross_entropy(logits, targets, label_smoothing=label_smoothing, reduction="none")
    return (each * counts).mean()
