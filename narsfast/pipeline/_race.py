"""The race for a budget: a few candidates begin their full training, and the best of them end it.

The predictor's best candidate of a whole space is the one about which it errs most. So the promising trials, candidates
that evolution found and what is known to work all train for a share of the final epochs, with the schedule of all of
them, and are compared by what they reach. All of it is this project's choice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from narsfast.common.trial import Trial
from narsfast.errors import UserError
from narsfast.runs import Family

from ._finals import Standing, select_final, standard_error
from ._search import Search

SHARE = 1 / 3
"""Share of the final epochs after which finalists are compared."""
TO_THE_END = 2
"""How many finalists are trained to the end at most: those that the validation split cannot tell from the best one."""


def standing(search: Search, family: Family, finals: Mapping[str, Trial]) -> Standing:
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
    return Standing(chosen) if chosen.id in finals else Standing(missing={chosen.id: epochs})


def race(family: Family, finals: Mapping[str, Trial], images: int, epochs: int) -> Standing:
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
        return Standing(missing=dict.fromkeys(missing, first))
    racing = [name for name in runners if finals[name].outcome == "ok"]
    if not racing:
        return _replacement(family, finals, epochs)
    reached = {name: finals[name].curve[first - 1] for name in racing}
    order = sorted(racing, key=lambda name: -reached[name])
    margin = standard_error(reached[order[0]], images)
    last = [name for name in order[:TO_THE_END] if reached[name] >= reached[order[0]] - margin]
    if unfinished := [name for name in last if finals[name].epochs < epochs]:
        return Standing(missing=dict.fromkeys(unfinished, epochs))
    ended = [name for name in racing if finals[name].epochs >= epochs]
    return Standing(family.found(max(ended, key=lambda name: finals[name].curve[-1])))


def _replacement(family: Family, finals: Mapping[str, Trial], epochs: int) -> Standing:
    names = [found.id for found in family.candidates]
    for name in names:
        if name not in finals:
            return Standing(missing={name: epochs})
        if finals[name].outcome == "ok":
            return (
                Standing(family.found(name))
                if finals[name].epochs >= epochs
                else Standing(missing={name: epochs})
            )
    raise UserError(
        f"budget {family.label}: none of its {len(names)} final trainings ended well, the last "
        f"{finals[names[-1]].ending()}"
    )
