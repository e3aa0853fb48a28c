"""What is known of a network by its reference, before it is trained."""

from __future__ import annotations

from pathlib import Path


def absolute_reference(reference: str) -> str:
    """The reference with the absolute path of its file, where it names one: a run goes on from any directory."""
    source, separator, name = reference.rpartition(":")
    if separator and source.endswith(".py"):
        return f"{Path(source).expanduser().resolve()}:{name}"
    return str(Path(reference).expanduser().resolve()) if reference.endswith(".json") else reference
