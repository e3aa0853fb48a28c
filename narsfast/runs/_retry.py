"""Trying again what did not end well: the run is taken back to where those trainings were to be done."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from . import _database as database
from ._records import Purpose

if TYPE_CHECKING:
    from ._store import RunStore

_FINAL_OUTCOMES = ("ok", "diverged")
"""What a candidate does again, whatever the machine."""

_AFTER_TRIALS = ("early_stop_epoch", "early_stopping", "fits", "families", "finals_expected")
"""Facts that follow from the trials of the search."""

Execute = Callable[..., Any]


def forget_failed(run: RunStore) -> list[tuple[str, str, str]]:
    """Forget trainings that failed, were lost, ran out of time or memory, and everything that followed from them.

    A search then goes on as if they had not been tried: what was picked after them is picked again. Trials of other
    candidates stay, and are not trained again where they are picked again.

    Args:
        run: Opened for writing.

    Returns:
        Purpose, candidate and outcome of each training that is forgotten.
    """
    families, teacher = run.facts.families or (), run.facts.teacher
    order = {family.label: [found.id for found in family.candidates] for family in families}
    with run._writing() as execute:
        marks = ", ".join("?" for _ in _FINAL_OUTCOMES)
        failed: list[tuple[str, str, str]] = execute(
            f"SELECT purpose, candidate, outcome FROM trials WHERE outcome NOT IN ({marks})"
            " ORDER BY purpose, candidate",
            _FINAL_OUTCOMES,
        ).fetchall()
        execute(f"DELETE FROM trials WHERE outcome NOT IN ({marks})", _FINAL_OUTCOMES)
        by_purpose = {
            purpose: {candidate for kind, candidate, _ in failed if kind == purpose}
            for purpose in ("search", "final", "baseline")
        }
        if by_purpose["baseline"]:
            _forget_baselines(execute, by_purpose["baseline"])
        if by_purpose["search"]:
            _forget_after(execute, by_purpose["search"])
            _put(execute, "further_budgets", [family.budget for family in families])
            if teacher is not None and teacher.candidate is not None:  # another network may be the largest
                execute("DELETE FROM trials WHERE purpose = 'final'")
                execute("DELETE FROM facts WHERE key = 'teacher'")
            _put(execute, "stage", "optimize")
        elif failed:
            _forget_results(execute, order, by_purpose["final"])
            execute(
                "UPDATE facts SET value = '\"train\"' WHERE key = 'stage' AND value IN ('\"emit\"', '\"done\"')"
            )
    return failed


def forget_trial(run: RunStore, purpose: Purpose, candidate: str) -> None:
    """Forget one training, and nothing that followed from it: it is done again with the same outcome."""
    with run._writing() as execute:
        execute("DELETE FROM trials WHERE purpose = ? AND candidate = ?", (purpose, candidate))


def forget_unpicked(run: RunStore) -> None:
    """Forget trials of the search whose candidates no batch has any more, once all batches are picked again."""
    with run._writing() as execute:
        execute(
            "DELETE FROM trials WHERE purpose = 'search' AND candidate NOT IN (SELECT candidate FROM members)"
        )


def _forget_after(execute: Execute, candidates: Collection[str]) -> None:
    """Forget the batches after the first one that has one of these candidates, and what followed from them."""
    members = execute("SELECT batch, candidate FROM members").fetchall()
    first = min((batch for batch, candidate in members if candidate in candidates), default=-1)
    execute("DELETE FROM members WHERE batch > ?", (first,))
    execute("DELETE FROM batches WHERE number > ?", (first,))
    execute("DELETE FROM results")
    for key in _AFTER_TRIALS:
        execute("DELETE FROM facts WHERE key = ?", (key,))


def _forget_results(execute: Execute, order: dict[str, list[str]], candidates: Collection[str]) -> None:
    """Forget the results that have the place of one of these candidates."""
    for budget, chosen in execute("SELECT budget, candidate FROM results").fetchall():
        ranked = order.get(budget, [])
        before = ranked[: ranked.index(chosen)] if chosen in ranked else ranked
        if any(candidate in candidates for candidate in before):
            execute("DELETE FROM results WHERE budget = ?", (budget,))


def _forget_baselines(execute: Execute, models: Collection[str]) -> None:
    """Forget what is known of these known networks."""
    rows = execute("SELECT value FROM facts WHERE key = 'baselines'").fetchall()
    known = json.loads(rows[0][0]) if rows else []
    _put(execute, "baselines", [row for row in known if row["model"] not in models])


def _put(execute: Execute, key: str, value: Any) -> None:
    execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (key, database.dump(value)))
