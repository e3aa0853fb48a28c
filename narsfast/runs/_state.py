"""Where a run stands, read in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _database as database
from ._legible import checked
from ._lock import driver_of
from ._records import BatchState, InFlight, RunState

if TYPE_CHECKING:
    from ._store import RunStore


def read_state(run: RunStore) -> RunState:
    """Return where a run stands; see `RunStore.state`."""
    with run._mutex, run._legible(), database.reading(run._connection):
        batches = run._rows(
            "SELECT number, batches.epochs, count(trials.candidate), count(members.candidate)"
            " FROM batches LEFT JOIN members ON batch = number"
            " LEFT JOIN trials ON trials.candidate = members.candidate AND purpose = 'search'"
            " GROUP BY number ORDER BY number"
        )
        in_flight = run._rows(
            "SELECT candidate, purpose, epochs, since FROM in_flight ORDER BY since, candidate"
        )
        outcomes = run._rows(
            "SELECT outcome, count(*) FROM trials WHERE purpose = 'search' GROUP BY outcome ORDER BY outcome"
        )
        ((finals,),) = run._rows("SELECT count(*) FROM trials WHERE purpose = 'final'")
        ((results,),) = run._rows("SELECT count(*) FROM results")
        ((updated,),) = run._rows("SELECT time FROM updated")
        found = {
            "stage": run.facts.stage,
            "batches": tuple(BatchState(*row) for row in batches),
            "early_stop_epoch": run.facts.early_stop_epoch,
            "outcomes": dict(outcomes),
            "in_flight": tuple(InFlight(*row) for row in in_flight),
            "finals": finals,
            "finals_expected": run.facts.finals_expected,
            "results": results,
            "driver": driver_of(run.path),
            "updated": updated,
        }
        return checked(RunState, found)
