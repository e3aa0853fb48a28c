"""Seeds: every random choice is keyed by the run's seed and its purpose, never by the order of events."""

from __future__ import annotations

import hashlib


def derive_seed(seed: int, *keys: str | int) -> int:
    """Derive the seed of one purpose.

    Args:
        seed: Seed of the run.
        keys: What the random numbers are for, as in ``("final", candidate_id)``.

    Returns:
        A number in [0, 2**63), the same on every machine.
    """
    text = "/".join(str(key) for key in (seed, *keys))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
