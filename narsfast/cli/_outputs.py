"""Files that commands write: refused before the work where they cannot be written."""

from __future__ import annotations

import tempfile
from pathlib import Path

from narsfast.errors import UserError


def check_writable(out: Path, field: str = "out") -> None:
    """Make the folder of a file that is written later, and try whether it takes one.

    Args:
        out: The file.
        field: Its name in messages.

    Raises:
        UserError: It does not, or the file is a folder.
    """
    try:
        if out.is_dir():
            raise IsADirectoryError(None, "it is a folder")
        out.parent.mkdir(parents=True, exist_ok=True)
        if not out.exists() or out.is_file():
            with tempfile.TemporaryFile(dir=out.parent):
                pass
    except OSError as error:
        raise UserError(f"{field}: {out} cannot be written ({error.strerror}); name another file") from None
