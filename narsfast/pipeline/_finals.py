"""Which candidate of a budget is trained fully, and which of those trained so is its network.

All of it is our choice; the paper trains the best predicted one.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from narsfast.common.trial import Trial
from narsfast.errors import UserError
from narsfast.runs import Family, FoundCandidate, TeacherChoice, passed_over
from narsfast.training import TrialTask

from ._config import LARGEST
from ._search import Search
from ._teacher import distillation_of, found_teacher

_log = logging.getLogger("narsfast.finals")


def select_final(
    family: Family, finals: Mapping[str, Trial], images: int, always_both: bool = False
) -> FoundCandidate:
    """Select the candidate that a budget wants; where it is trained already, the budget's network.

    It is the best predicted one whose training ends well. Where that does worse after its full training than the best
    trial of the search inside the budget did after a few epochs, by more than a standard error of the validation
    split, the predictor was wrong about it: the candidate of that trial is trained fully too, and the better of the two
    on the validation split is taken.

    Args:
        family: Of the budget.
        finals: Full trainings so far, by candidate.
        images: Number of images in the validation split.
        always_both: Whether the candidate of the best trial is trained fully in any case, as in runs from parents: short
            fine-tunings say much of longer ones.

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
    worse = best.accuracy - reached > standard_error(reached, images)
    if not (worse or always_both):
        return wanted
    again = finals.get(best.candidate)
    if again is None and worse:
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


def tell_passed_over(
    search: Search, families: Iterable[Family], chosen: Mapping[str, FoundCandidate]
) -> None:
    """Log for each budget which better predicted candidates its network replaces, and why."""
    for family in families:
        for passed in passed_over(search.store, family, chosen[family.budget].id):
            _log.warning("budget %s: %s", family.label, passed.sentence())


def standard_error(accuracy: float, images: int) -> float:
    """Return the standard error, percent, of an accuracy in percent measured on so many images."""
    share = accuracy / 100
    return 100 * math.sqrt(share * (1 - share) / images)


def first_to_train(search: Search, wanted: Mapping[str, FoundCandidate]) -> Mapping[str, FoundCandidate]:
    """Return those of the wanted candidates that can be trained now: the largest alone while it is to be the teacher.

    The teacher is the one of most MACs whose training ended well; it stays the teacher, whatever is added later. A
    teacher that is to be trained again is alone, too.
    """
    if search.config.distill != LARGEST:
        return wanted
    ended = {trial.candidate: trial.outcome for trial in search.store.trials("final")}
    teacher = found_teacher(search)
    if teacher is not None:
        return wanted if teacher.id in ended else {teacher.id: teacher}
    largest = max(wanted, key=lambda name: wanted[name].statistics["macs"])
    if ended.get(largest) != "ok":
        if len(wanted) == 1:
            _log.warning(
                "distill: one network is the best for all budgets, so nobody learns from the largest"
            )
        return {largest: wanted[largest]}
    search.store.facts.teacher = TeacherChoice(candidate=largest)
    return wanted


def still_used(
    search: Search, families: Iterable[Family], chosen: Mapping[str, FoundCandidate]
) -> list[FoundCandidate]:
    """Return the networks whose weights are still to be used: of those not yet tested, and the teacher of the untrained.

    Args:
        search: Of the run.
        families: Of all budgets.
        chosen: The network of each budget, so far.
    """
    emitted = {result.budget for result in search.store.results()}
    ended = {trial.candidate for trial in search.store.trials("final")}
    teacher = found_teacher(search)
    taught = [] if teacher is None or all(found.id in ended for found in chosen.values()) else [teacher]
    return [*(chosen[family.budget] for family in families if family.label not in emitted), *taught]


def final_task(search: Search, found: FoundCandidate) -> TrialTask:
    """Return the full training of a found candidate, with its teacher unless it is trained already."""
    epochs = search.config.final_epochs
    task = search.task(found.candidate, epochs, epochs, "final")
    if any(trial.candidate == found.id for trial in search.store.trials("final")):
        return task  # the teacher may be gone since
    return replace(task, distillation=distillation_of(search, found.id))
