"""What may become the directory of a run."""

from __future__ import annotations

from pathlib import Path

from narsfast.errors import UserError

from ._database import DATABASE_FILE
from ._lock import LOCK_FILE


def check_directory(path: Path, *, create: bool) -> None:
    """Refuse what is not a run's directory and cannot become one.

    Args:
        path: The directory.
        create: Whether a run may be made in it.

    Raises:
        UserError: It holds other things, or no run where none may be made.
    """
    if path.exists() and not path.is_dir():
        raise UserError(f"{path} is a file: name a directory for the run")
    if (path / DATABASE_FILE).exists():
        return
    if not create:
        raise UserError(f"{path} holds no run to resume: start one with a configuration")
    if path.exists() and any(entry.name != LOCK_FILE for entry in path.iterdir()):
        raise UserError(f"{path} holds other files and no run: name a new or an empty directory")
