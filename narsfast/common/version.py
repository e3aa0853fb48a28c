"""Which versions of narsfast train alike, so that one resumes what another started."""

from __future__ import annotations

TRAIN_ALIKE = frozenset({"0.1.0", "0.2.0"})
"""Versions with the same random numbers, trainings and stored forms; the present one is among them."""


def trains_alike(one: str, other: str) -> bool:
    """Tell whether what one version started, the other one ends as if it had started it itself."""
    return one == other or {one, other} <= TRAIN_ALIKE
