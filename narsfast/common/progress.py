"""How the stages tell how far they are."""

from __future__ import annotations

import html
import sys
from collections.abc import Callable
from typing import Any

Progress = Callable[[str, float, float], None]
"""Called as ``progress(stage, done, total)``; `done` may be a fraction of one unit of work."""


def silent(stage: str, done: float, total: float) -> None:
    """Report nothing: the default of every stage."""


def notebook_or_silent() -> Progress:
    """Return bars where this process is a notebook's, else `silent`."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return _NotebookBars() if type(shell).__name__ == "ZMQInteractiveShell" else silent


class _NotebookBars:
    """One bar per stage in the output of a notebook's cell."""

    def __init__(self) -> None:
        self._handles: dict[str, Any] = {}

    def __call__(self, stage: str, done: float, total: float) -> None:
        from IPython.display import HTML, display

        share = done / total if total else 1.0
        bar = HTML(f"<progress value='{share:.4f}' max='1'></progress> {html.escape(stage)}: {share:.0%}")
        if stage in self._handles:
            self._handles[stage].update(bar)
        else:
            self._handles[stage] = display(bar, display_id=True)
