"""The folders of emitted networks: one name per budget of a run, which stays, and which every disk can write."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

_LONGEST = 100
"""Characters of a name; disks take 143 to 255, and a name that is being written is a little longer."""


def family_folders(budgets: Iterable[str], known: Mapping[str, str]) -> dict[str, Path]:
    """Return the folder of each budget's network, relative to the run.

    Two budgets whose texts differ only in characters that have no place in a name, and long ones, get a part of a hash.

    Args:
        budgets: Texts of all budgets of the run, in its order.
        known: Folders that exist, by their budgets' texts; they stay as they are.
    """
    folders = {text: Path(known[text]) for text in known}
    for text in budgets:
        if text not in folders:
            name = re.sub(r"[^A-Za-z0-9.]+", "-", text)
            if len(name) > _LONGEST or Path("family", name) in folders.values():
                name = f"{name[: _LONGEST - 9]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
            folders[text] = Path("family", name)
    return folders
