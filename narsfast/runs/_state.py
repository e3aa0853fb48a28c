"""Where a run stands, read in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ._facts import Facts
from ._legible import checked
from ._lock import driver_of
from ._records import BatchState, InFlight, RunState


def read_state(rows: Callable[[str], list[tuple[Any, ...]]], facts: Facts, path: Path) -> RunState:
    """Return where a run stands; see `RunStore.state`.

    Args:
        rows: Queries its database, in a transaction.
        facts: Its facts.
        path: Its directory.
    """
    batches = rows(
        "SELECT number, batches.epochs, count(trials.candidate), count(members.candidate)"
        " FROM batches LEFT JOIN members ON batch = number"
        " LEFT JOIN trials ON trials.candidate = members.candidate AND purpose = 'search'"
        " GROUP BY number ORDER BY number"
    )
    in_flight = rows("SELECT candidate, purpose, epochs, since FROM in_flight ORDER BY since, candidate")
    outcomes = rows(
        "SELECT outcome, count(*) FROM trials WHERE purpose = 'search' GROUP BY outcome ORDER BY outcome"
    )
    ((finals,),) = rows("SELECT count(*) FROM trials WHERE purpose = 'final'")
    ((results,),) = rows("SELECT count(*) FROM results")
    ((updated,),) = rows("SELECT time FROM updated")
    found = {
        "stage": facts.stage,
        "batches": tuple(BatchState(*row) for row in batches),
        "early_stop_epoch": facts.early_stop_epoch,
        "outcomes": dict(outcomes),
        "in_flight": tuple(InFlight(*row) for row in in_flight),
        "finals": finals,
        "finals_expected": facts.finals_expected,
        "results": results,
        "driver": driver_of(path),
        "updated": updated,
        "early_stopping": facts.early_stopping,
    }
    return checked(RunState, found)
