"""Progress bars with the time left, and what is logged above them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from narsfast.common.progress import Progress as Report

if TYPE_CHECKING:
    from rich.console import Console

_STEPS = 5  # lines per stage where there is no terminal


@contextmanager
def progress_bars() -> Iterator[Report]:
    """Show a bar with the time left for every stage; where stderr is no terminal, a line at every fifth of a stage.

    What the package logs meanwhile, such as what an ``auto`` has chosen, stands above them.
    """
    from rich.console import Console  # not where help is shown

    console = Console(stderr=True)
    log, notes = logging.getLogger("narsfast"), _Notes(console)
    level = log.level
    log.addHandler(notes)
    log.setLevel(logging.INFO)
    try:
        if console.is_terminal:
            with _bars(console) as report:
                yield report
        else:
            yield _Lines(console)
    finally:
        log.removeHandler(notes)
        log.setLevel(level)


@contextmanager
def _bars(console: Console) -> Iterator[Report]:
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, speed_estimate_period=120) as bars:
        tasks = {}

        def show(stage: str, done: float, total: float) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total, completed=int(done))
            bars.update(tasks[stage], completed=done, total=total)

        yield show


class _Notes(logging.Handler):
    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.print(f"narsfast: {record.getMessage()}", markup=False, highlight=False, soft_wrap=True)


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._started: dict[str, tuple[float, float]] = {}
        self._shown: dict[str, int] = {}

    def __call__(self, stage: str, done: float, total: float) -> None:
        share = done / total if total else 1.0
        now = time.monotonic()
        start, kept = self._started.setdefault(stage, (now, share))
        step = int(share * _STEPS + 1e-9)
        if step <= self._shown.get(stage, 0):
            return
        self._shown[stage] = step
        spent = now - start
        left = f", {spent * (1 - share) / (share - kept):.0f} s left" if kept < share < 1 else ""
        self._console.print(f"{stage}: {share:.0%} after {spent:.0f} s{left}", markup=False, highlight=False)
