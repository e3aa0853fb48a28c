"""Candidates whose full training did not end well, so that another network has their budget's place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from narsfast.common.trial import Outcome

from ._facts import Family

if TYPE_CHECKING:
    from ._store import RunStore


@dataclass(frozen=True)
class PassedOver:
    """A better predicted candidate that a budget's network replaces.

    Attributes:
        candidate: Its id.
        predicted: Accuracy in percent that the predictor expected.
        outcome: Of its full training.
        message: One line on that.
    """

    candidate: str
    predicted: float
    outcome: Outcome
    message: str

    def sentence(self) -> str:
        """Say what happened."""
        said = f" ({self.message})" if self.message else ""
        return (
            f"candidate {self.candidate}, predicted {self.predicted:.2f} %, is passed over, since its full training "
            f"ended as {self.outcome.replace('_', ' ')}{said}"
        )


def passed_over(run: RunStore, family: Family, chosen: str) -> list[PassedOver]:
    """Return the candidates of a family that would have come before the chosen one and ended badly.

    Those are the better predicted ones, best first; of a race, all finalists.

    Args:
        run: Their run.
        family: Of the budget.
        chosen: Id of the candidate that has the budget's place.
    """
    finals = {trial.candidate: trial for trial in run.trials("final")}
    found = []
    raced = [family.found(finalist.candidate) for finalist in family.finalists]
    for candidate in raced or family.candidates:
        if candidate.id == chosen and not raced:
            break
        trial = finals.get(candidate.id)
        if trial is not None and trial.outcome != "ok":
            found.append(PassedOver(candidate.id, candidate.predicted, trial.outcome, trial.message))
    return found


def all_passed_over(run: RunStore) -> dict[str, list[PassedOver]]:
    """Return for each result of a run the candidates that it replaces, by the label of its budget; most have none."""
    families: Iterable[Family] = run.facts.families or ()
    chosen = {result.budget: result.candidate for result in run.results()}
    found = {
        family.label: passed_over(run, family, chosen[family.label])
        for family in families
        if family.label in chosen
    }
    return {label: passed for label, passed in found.items() if passed}
