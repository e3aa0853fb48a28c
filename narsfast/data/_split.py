"""Stratified, reproducible splits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from narsfast.errors import UserError

from ._random import Purpose, random_bits


def stratified(
    labels: NDArray[np.int64], shares: tuple[float, ...], classes: tuple[str, ...], seed: int = 0
) -> list[NDArray[np.int64]]:
    """Splits samples so that every class has the same share in each part.

    The split depends on the labels and their order alone (and `seed`), so the same files give the same split
    on every machine and in every run.

    Args:
        labels: (n,) int64.
        shares: share of the first, second, ... part; they sum to 1. Each part gets at least one image a
            class; rounding goes to the first part.
        classes: class names, for the error.
        seed: another seed gives another split.

    Returns:
        For each part its sample indices, ascending, int64.

    Raises:
        UserError: a class has fewer images than there are parts.
    """
    parts: list[list[NDArray[np.int64]]] = [[] for _ in shares]
    for label, name in enumerate(classes):
        members = np.flatnonzero(labels == label)
        if len(members) < len(shares):
            raise UserError(
                f"class {name!r} has {len(members)} image(s), but splitting into {len(shares)} parts needs"
                f" at least {len(shares)} images a class"
            )
        keys = random_bits(Purpose.SPLIT, seed, label, np.arange(len(members), dtype=np.uint64))
        members = members[np.argsort(keys, kind="stable")]
        counts = [max(1, round(share * len(members))) for share in shares[1:]]
        while sum(counts) >= len(members):
            counts[int(np.argmax(counts))] -= 1
        ends = np.cumsum([len(members) - sum(counts), *counts])
        for part, chosen in zip(parts, np.split(members, ends[:-1]), strict=True):
            part.append(chosen)
    return [np.sort(np.concatenate(part)) for part in parts]
