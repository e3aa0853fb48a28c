"""Tables, and the state of a run in sentences."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from narsfast.common.early_stopping import EarlyStopping

_WIDTH = 200  # columns of a table where stdout is no terminal


def print_table(title: str, rows: Sequence[dict[str, Any]]) -> None:
    """Print rows as a table on stdout: one column per key, numbers to the right."""
    from rich.console import Console  # not where help is shown
    from rich.markup import escape
    from rich.table import Table

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
    if state["early_stopping"] is not None:
        print(EarlyStopping(**state["early_stopping"]).sentence())
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
