"""Who raced for each budget, and how far."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from narsfast.runs import RunStore


def races_of(run: RunStore) -> list[dict[str, Any]]:
    """Return one row per finalist of each budget, in the order of the budgets; none of runs without races.

    Each has ``first``, the validation accuracy in percent after the epochs that all finalists have (None where it did
    not end well), ``last``, the one at the end of a training that was taken to it, and whether it is the budget's
    network (``chosen``).
    """
    full = run.config.get("final_epochs", 0)
    trials = {trial.candidate: trial for trial in run.trials("final")}
    emitted = {result.budget: result.candidate for result in run.results()}
    rows = []
    for family in run.facts.families or ():
        mine = [trials[finalist.candidate] for finalist in family.finalists if finalist.candidate in trials]
        first = min((trial.epochs for trial in mine), default=0)
        for finalist in family.finalists:
            found, trial = family.found(finalist.candidate), trials.get(finalist.candidate)
            well = trial is not None and trial.outcome == "ok"
            rows.append(
                {
                    "budget": family.label,
                    **asdict(finalist),
                    "macs": found.statistics.get("macs"),
                    "predicted": found.predicted,
                    "std": found.std if math.isfinite(found.std) else None,
                    "epochs": first,
                    "first": trial.curve[first - 1] if trial is not None and well else None,
                    "last": trial.curve[-1] if trial is not None and well and trial.epochs >= full else None,
                    "outcome": None if trial is None else trial.outcome,
                    "chosen": emitted.get(family.label) == finalist.candidate,
                }
            )
    return rows
