"""How the stages tell how far they are."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, float, float], None]
"""Called as ``progress(stage, done, total)``; `done` may be a fraction of one unit of work."""


def silent(stage: str, done: float, total: float) -> None:
    """Report nothing: the default of every stage."""
