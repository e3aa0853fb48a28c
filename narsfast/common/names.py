"""Names of files as text, whatever their bytes are."""

from __future__ import annotations

import os
import sys

from narsfast.errors import UserError


def shown(name: str | os.PathLike[str]) -> str:
    """Return a name as text that can be printed and stored, whatever its bytes are."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def check_text(what: str, name: str | os.PathLike[str], remedy: str = "rename it") -> None:
    """Refuse a name that cannot be stored as text.

    Args:
        what: Begins the sentence; is followed by the name.
        name: Of a file or folder, as Python gives it.
        remedy: Of a name whose bytes are not UTF-8.

    Raises:
        UserError: Its bytes are not UTF-8; or they are, and Python reads names otherwise here.
    """
    if shown(name) == os.fspath(name):
        return
    try:
        os.fsencode(name).decode()
    except UnicodeDecodeError:
        why = f"whose name is not UTF-8; {remedy}"
    else:
        encoding = sys.getfilesystemencoding()
        why = f"but Python reads names as {encoding} here; set the variable PYTHONUTF8=1, or another locale"
    raise UserError(f"{what} '{shown(name)}', {why}")
