"""The race for a budget: a few candidates begin their full training, and the best of them end it.

The predictor's best candidate of a whole space is the one about which it errs most. So the promising trials, candidates
that evolution found and what is known to work all train for a share of the final epochs, with the schedule of all of
them, and are compared by what they reach. All of it is this project's choice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from narsfast.common.trial import Trial
from narsfast.errors import UserError
from narsfast.runs import Family
from narsfast.search import Standing, standings

from ._finals import RaceState, select_final
from ._search import Search

SHARE = 1 / 3
"""Share of the final epochs after which finalists are compared."""
TO_THE_END = 2
"""How many finalists are trained to the end at most: those that the validation split cannot tell from the best one."""


def race_state(search: Search, family: Family, finals: Mapping[str, Trial]) -> RaceState:
    """Return how far the full trainings for a budget are, with a race or without.

    Args:
        search: Of the run.
        family: Of the budget.
        finals: Full trainings so far, begun or ended, by candidate.

    Raises:
        UserError: Every candidate that the run keeps for the budget ended badly.
    """
    epochs, images = search.config.final_epochs, len(search.data.val)
    if family.finalists:
        return race(family, finals, images, epochs)
    chosen = select_final(family, finals, images)
    return RaceState(chosen) if chosen.id in finals else RaceState(missing={chosen.id: epochs})


def race(family: Family, finals: Mapping[str, Trial], images: int, epochs: int) -> RaceState:
    """Return how far the race of the finalists is.

    Where none of them ends well, the other candidates of the budget are trained, one after the other.

    Args:
        family: Of the budget.
        finals: Trainings so far, by candidate.
        images: Number of images in the validation split.
        epochs: Of a full training.

    Raises:
        UserError: Every candidate that the run keeps for the budget ended badly.
    """
    first = math.ceil(SHARE * epochs)
    runners = [finalist.candidate for finalist in family.finalists]
    if missing := [name for name in runners if name not in finals]:
        return RaceState(missing=dict.fromkeys(missing, first))
    racing = [name for name in runners if finals[name].outcome == "ok"]
    if not racing:
        return _replacement(family, finals, epochs)
    order = sorted(_standings([finals[name].until(first) for name in racing], images).items(), key=_worth)
    (leader, best), *others = order
    going_on = [leader, *(name for name, other in others[: TO_THE_END - 1] if _close(best, other))]
    if unfinished := [name for name in going_on if finals[name].epochs < epochs]:
        return RaceState(missing=dict.fromkeys(unfinished, epochs))
    ended = [finals[name] for name in racing if finals[name].epochs >= epochs]
    return RaceState(family.found(min(_standings(ended, images).items(), key=_worth)[0]))


def _standings(trials: Sequence[Trial], images: int) -> dict[str, Standing]:
    """Return the standing of each trial by its candidate."""
    return {trial.candidate: found for trial, found in zip(trials, standings(trials, images), strict=True)}


def _worth(entry: tuple[str, Standing]) -> float:
    return -entry[1].accuracy


def _close(best: Standing, other: Standing) -> bool:
    """Return whether two networks are less than the deviation of their difference apart."""
    return best.accuracy - other.accuracy < math.hypot(best.deviation, other.deviation)


def _replacement(family: Family, finals: Mapping[str, Trial], epochs: int) -> RaceState:
    names = [found.id for found in family.candidates]
    for name in names:
        if name not in finals:
            return RaceState(missing={name: epochs})
        if finals[name].outcome == "ok":
            return (
                RaceState(family.found(name))
                if finals[name].epochs >= epochs
                else RaceState(missing={name: epochs})
            )
    raise UserError(
        f"budget {family.label}: none of its {len(names)} final trainings ended well, the last "
        f"{finals[names[-1]].ending()}"
    )
