"""What may be otherwise where a run is resumed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Resume:
    """What may be otherwise where a run is resumed; the default is nothing.

    Attributes:
        moved_to: Where the data of the run lies now, if it was moved; only without new options.
        retry_failed: Whether trainings that failed, were lost, ran out of time or memory are tried again.
        accept_environment: Whether patch upgrades of python, torch or the loader are accepted, after which trainings may
            differ in their last digits from those before.
    """

    moved_to: str | Path | None = None
    retry_failed: bool = False
    accept_environment: bool = False
