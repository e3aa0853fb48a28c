"""What the answers of a network to the images of a split say about each class."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from narsfast.data import Split
from narsfast.runs import ClassCounts, ClassResults, ConfusedImage, Confusion, RunStore

PAIRS = 8
"""Confusions of which images are kept (this project's choice)."""

EXAMPLES = 4
"""Images that are kept of each (this project's choice)."""

SIDE = 96
"""Longer side of a thumbnail, pixels (this project's choice); smaller images keep their size."""


def class_results(
    logits: Tensor,
    split: Split,
    classes: tuple[str, ...],
    *,
    files: Sequence[str] = (),
    examples: bool = True,
) -> ClassResults:
    """Count the answers by class.

    Args:
        logits: (n, classes) float, of all images of the split.
        split: The images, with at least one.
        classes: Names, in the order of the labels.
        files: Names of the images, or none.
        examples: Whether images of the most frequent confusions are kept.
    """
    from sklearn.metrics import multilabel_confusion_matrix  # slow to import

    answers = logits.argmax(dim=1).numpy()
    numbers = np.arange(len(classes))
    counted = multilabel_confusion_matrix(split.labels, answers, labels=numbers).tolist()
    counts = tuple(
        ClassCounts(name, images=hit + missed, correct=hit, answered=hit + false)
        for name, ((_, false), (missed, hit)) in zip(classes, counted, strict=True)
    )
    wrong = np.flatnonzero(answers != split.labels)
    pairs, sizes = np.unique(split.labels[wrong] * len(classes) + answers[wrong], return_counts=True)
    order = np.argsort(-sizes, kind="stable")
    confidence = logits.softmax(dim=1).max(dim=1).values.numpy()
    confusions = []
    for place, (pair, size) in enumerate(zip(pairs[order].tolist(), sizes[order].tolist(), strict=True)):
        label, answer = divmod(pair, len(classes))
        shown: tuple[ConfusedImage, ...] = ()
        if examples and place < PAIRS:
            own = wrong[(split.labels[wrong] == label) & (answers[wrong] == answer)]
            shown = _examples(split, own, confidence[own], files)
        confusions.append(Confusion(label, answer, size, shown))
    return ClassResults(counts, tuple(confusions))


def store_class_results(store: RunStore, name: str, results: ClassResults) -> None:
    """Keep how a tested network answers by class, beside the others; `name` is its candidate or reference."""
    store.facts.class_results = {**(store.facts.class_results or {}), name: results}


def _examples(
    split: Split, indices: NDArray[np.int64], confidence: NDArray[np.float32], files: Sequence[str]
) -> tuple[ConfusedImage, ...]:
    """Return those of the images that the network was most sure of, as small JPEGs."""
    order = np.argsort(-confidence, kind="stable")[:EXAMPLES]
    found = []
    for index, sure, image in zip(
        indices[order].tolist(), confidence[order].tolist(), split.images.read(indices[order]), strict=True
    ):
        image.thumbnail((SIDE, SIDE))
        content = io.BytesIO()
        image.save(content, "JPEG", quality=85)
        thumbnail = base64.b64encode(content.getvalue()).decode("ascii")
        file = files[index] if files else ""
        found.append(ConfusedImage(index, round(100 * sure, 2), thumbnail, file))
    return tuple(found)
