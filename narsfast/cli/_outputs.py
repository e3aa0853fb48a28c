"""Files that commands write: refused before the work where they cannot be written."""

from __future__ import annotations

import tempfile
from pathlib import Path

from narsfast.common.files import output_path
from narsfast.errors import UserError


def writable(out: Path, field: str = "out") -> Path:
    """Make the folder of a file that is written later, and try whether it takes one.

    Args:
        out: The file, perhaps with a leading ``~``.
        field: Its name in messages.

    Returns:
        The file.

    Raises:
        UserError: It does not, or the file is a folder.
    """
    out = output_path(out)
    try:
        if out.is_dir():
            raise IsADirectoryError(None, "it is a folder")
        out.parent.mkdir(parents=True, exist_ok=True)
        if not out.exists() or out.is_file():
            with tempfile.TemporaryFile(dir=out.parent):
                pass
    except OSError as error:
        raise UserError(f"{field}: {out} cannot be written ({error.strerror}); name another file") from None
    return out
