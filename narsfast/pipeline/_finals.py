"""What is trained fully for each budget, and which of the candidates trained so is its network without a race.

All of it is our choice; the paper trains the best predicted one.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from narsfast.common.trial import Trial
from narsfast.errors import UserError
from narsfast.runs import Family, FoundCandidate, TeacherChoice, passed_over
from narsfast.training import TrialTask

from ._config import LARGEST
from ._search import Search
from ._teacher import distillation_of, found_teacher

_log = logging.getLogger("narsfast.finals")


@dataclass(frozen=True)
class RaceState:
    """How far the race for a budget is.

    Attributes:
        chosen: The budget's network; None where trainings are missing.
        missing: Epochs to which candidates are to be trained next.
    """

    chosen: FoundCandidate | None = None
    missing: Mapping[str, int] = field(default_factory=dict)

    def largest(self, family: Family) -> FoundCandidate:
        """Return the network of most multiply-adds that the budget may get."""
        named = [family.found(name) for name in self.missing] if self.chosen is None else [self.chosen]
        return max(named, key=lambda found: found.statistics["macs"])


def select_final(family: Family, finals: Mapping[str, Trial], images: int) -> FoundCandidate:
    """Select the candidate that a budget wants without a race; where it is trained already, the budget's network.

    It is the best predicted one whose training ends well. Where that does worse after its full training than the best
    trial of the search inside the budget did after a few epochs, by more than a standard error of the validation
    split, the predictor was wrong about it: the candidate of that trial is trained fully too, and the better of the two
    on the validation split is taken.

    Args:
        family: Of the budget.
        finals: Full trainings so far, by candidate.
        images: Number of images in the validation split.

    Raises:
        UserError: Every candidate that the run keeps for the budget ended badly.
    """
    candidates = family.candidates
    wanted = next((c for c in candidates if c.id not in finals or finals[c.id].outcome == "ok"), None)
    if wanted is None:
        raise UserError(
            f"budget {family.label}: none of its {len(candidates)} final trainings ended well, the last "
            f"{finals[candidates[-1].id].ending()}"
        )
    best = family.best_trial  # runs of early versions have none
    final = finals.get(wanted.id)
    if final is None or best is None or best.candidate == wanted.id:
        return wanted
    reached = final.curve[-1]
    if best.accuracy - reached <= standard_error(reached, images):
        return wanted
    again = finals.get(best.candidate)
    if again is None:
        _log.warning(
            "budget %s: the network found reached %.1f %% in its full training, and a trial %.1f %% in %d epochs, so "
            "that this one is trained fully too, and the better of the two is taken",
            family.label,
            reached,
            best.accuracy,
            best.epochs,
        )
    if again is not None and (again.outcome != "ok" or again.curve[-1] < reached):
        return wanted
    return next(found for found in candidates if found.id == best.candidate)


def tell_passed_over(search: Search, families: Iterable[Family], races: Mapping[str, RaceState]) -> None:
    """Log for each budget which better predicted candidates its next network replaces, and why; of races nothing."""
    for family in families:
        held = races[family.budget]
        for name in [] if family.finalists else [*held.missing]:
            for passed in passed_over(search.store, family, name):
                _log.warning("budget %s: %s", family.label, passed.sentence())


def standard_error(accuracy: float, images: int) -> float:
    """Return the standard error, percent, of an accuracy in percent measured on so many images."""
    share = accuracy / 100
    return 100 * math.sqrt(share * (1 - share) / images)


def first_to_train(
    search: Search, families: Iterable[Family], races: Mapping[str, RaceState]
) -> dict[str, int]:
    """Return the candidates that can be trained now, and to which epoch: one budget's alone while it gives the teacher.

    That is the budget of the network of most MACs; it stays the teacher, whatever is added later. A teacher that is to
    be trained again is alone, too.
    """
    missing: dict[str, int] = {}
    for race in races.values():
        for name, epochs in race.missing.items():
            missing[name] = max(epochs, missing.get(name, 0))
    if search.config.distill != LARGEST:
        return missing
    teacher = found_teacher(search)
    if teacher is not None:
        ended = any(trial.candidate == teacher.id for trial in search.store.trials("final"))
        return missing if ended else {teacher.id: search.config.final_epochs}
    largest = {family.budget: races[family.budget].largest(family) for family in families}
    first = max(races, key=lambda budget: largest[budget].statistics["macs"])
    chosen = races[first].chosen
    if chosen is None:
        if len({found.id for found in largest.values()}) == 1:
            _log.warning(
                "distill: one network is the best for all budgets, so nobody learns from the largest"
            )
        return dict(races[first].missing)
    search.store.facts.undistilled = tuple(trial.candidate for trial in search.store.trials("final"))
    search.store.facts.teacher = TeacherChoice(candidate=chosen.id)
    return missing


def still_used(
    search: Search, families: Collection[Family], chosen: Mapping[str, FoundCandidate]
) -> list[FoundCandidate]:
    """Return the networks whose weights are still to be used: of those not yet tested, and the teacher of the untrained.

    Args:
        search: Of the run.
        families: Of all budgets.
        chosen: The network of each budget that has one.
    """
    emitted = {result.budget for result in search.store.results()}
    teacher = found_teacher(search)
    taught = [] if teacher is None or len(chosen) == len(families) else [teacher]
    named = [(family.label, chosen.get(family.budget)) for family in families]
    return [*(found for label, found in named if found is not None and label not in emitted), *taught]


def final_task(search: Search, found: FoundCandidate, epochs: int | None = None) -> TrialTask:
    """Return the full training of a found candidate, with its teacher unless it has ended.

    Args:
        search: Of the run.
        found: The candidate.
        epochs: Of the full training, so many of which are asked for; None is all of them.
    """
    full = search.config.final_epochs
    task = search.task(found.candidate, epochs or full, full, "final")
    if any(trial.candidate == found.id and trial.epochs >= full for trial in search.store.trials("final")):
        return task  # the teacher may be gone since
    return replace(task, distillation=distillation_of(search, found.id))
