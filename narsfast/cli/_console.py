"""How the command line looks: progress bars with the time left, and tables."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from narsfast.common.progress import Progress as Report

_STEPS = 5  # lines a stage where there is no terminal

_WIDTH = 200  # columns of a table where stdout is no terminal


@contextmanager
def progress_bars() -> Iterator[Report]:
    """Show a bar with the time left for every stage; where stderr is no terminal, a line at every fifth of a stage.

    What the package logs meanwhile, such as what an ``auto`` has chosen, stands above them.
    """
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


def print_table(title: str, rows: Sequence[dict[str, Any]]) -> None:
    """Print rows as a table on stdout: one column a key, numbers to the right."""
    # rich reads square brackets as markup: without escape `narsfast[onnx]` would lose its end.
    table = Table(title=escape(title), title_justify="left")
    for name in rows[0]:
        number = all(_is_number(row[name]) for row in rows)
        table.add_column(
            name.replace("_", " "), justify="right" if number else "left", no_wrap=number, overflow="fold"
        )
    for row in rows:
        table.add_row(
            *(escape(f"{value:,}" if isinstance(value, int) else str(value)) for value in row.values())
        )
    console = Console()
    if not console.is_terminal:
        console.width = _WIDTH
    console.print(table)


def print_state(state: Mapping[str, Any]) -> None:
    """Print how far a run is (`narsfast.runs.RunState.to_dict`), in sentences."""
    print(f"stage: {state['stage'] or 'not started'}")
    driver = state["driver"]
    print(
        "process: none is working on the run"
        if driver is None
        else f"process: {driver} is working on the run"
    )
    for batch in state["batches"]:
        print(
            f"batch {batch['index'] + 1}: {batch['done']} of {batch['expected']} trials, {batch['epochs']} epochs each"
        )
    if state["early_stop_epoch"] is not None:
        print(f"early-stop epoch: {state['early_stop_epoch']}")
    if state["outcomes"]:
        counts = ", ".join(
            f"{count} {outcome.replace('_', ' ')}" for outcome, count in state["outcomes"].items()
        )
        print(f"outcomes: {counts}")
    for trial in state["in_flight"]:
        minutes = (time.time() - trial["since"]) / 60
        print(
            f"in flight: {trial['candidate']} ({trial['purpose']}, {trial['epochs']} epochs) for {minutes:.1f} min"
        )
    if state["finals_expected"] is not None:
        print(f"final trainings: {state['finals']} of {state['finals_expected']}")
    print(f"networks written: {state['results']}")
    print(f"last change: {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(state['updated']))}")


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True
