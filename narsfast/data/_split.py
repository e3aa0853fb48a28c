"""Stratified, reproducible splits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from narsfast.errors import UserError

from ._random import Purpose, random_bits


def stratified(
    labels: NDArray[np.int64], shares: tuple[float, ...], classes: tuple[str, ...], seed: int = 0
) -> list[NDArray[np.int64]]:
    """Split samples so that every class has the same share in each part.

    The split depends on the labels, their order and `seed` alone, so the same files give the same split on every
    machine and in every run.

    Args:
        labels: (n,) int64.
        shares: Share of the first, second, ... part; they sum to 1. Each part gets at least one image of each
            class; what rounding leaves goes to the first part.
        classes: Class names, for the error.
        seed: Another seed gives another split.

    Returns:
        The sample indices of each part, ascending, int64.

    Raises:
        UserError: A class has fewer images than there are parts.
    """
    parts: list[list[NDArray[np.int64]]] = [[] for _ in shares]
    for label, name in enumerate(classes):
        own = np.flatnonzero(labels == label)
        if len(own) < len(shares):
            raise UserError(
                f"class {name!r} has {len(own)} image(s), but splitting into {len(shares)} parts needs"
                f" at least {len(shares)} images of each class"
            )
        keys = random_bits(Purpose.SPLIT, seed, label, np.arange(len(own), dtype=np.uint64))
        own = own[np.argsort(keys, kind="stable")]
        counts = [max(1, round(share * len(own))) for share in shares[1:]]
        while sum(counts) >= len(own):
            counts[int(np.argmax(counts))] -= 1
        ends = np.cumsum([len(own) - sum(counts), *counts])
        for part, chosen in zip(parts, np.split(own, ends[:-1]), strict=True):
            part.append(chosen)
    return [np.sort(np.concatenate(part)) for part in parts]
