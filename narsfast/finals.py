"""Which candidate of a budget is trained fully, and which of those trained so is its network.

All of it is our choice; the paper trains the best predicted one.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

from .errors import UserError
from .trial import Trial

_log = logging.getLogger("narsfast.finals")

Row = Mapping[str, Any]
"""A candidate in JSON types, as `narsfast.families.candidate_rows` makes it."""


def final_row(family: Row, finals: Mapping[str, Trial], images: int) -> Row:
    """The candidate that a budget wants; where it is trained already, the budget's network.

    It is the best predicted one whose training ends well. Where that does worse after its full training than the best
    trial of the search inside the budget did after a few epochs, by more than a standard error of the validation
    split, the predictor was wrong about it: the candidate of that trial is trained fully too, and the better of the two
    on the validation split is taken.

    Args:
        family: of the budget, as `narsfast.families.family_of` makes it.
        finals: full trainings so far, by candidate.
        images: number of images in the validation split.

    Raises:
        UserError: every candidate that the run keeps for the budget ended badly.
    """
    rows: list[Row] = family["candidates"]
    wanted = next((row for row in rows if row["id"] not in finals or finals[row["id"]].outcome == "ok"), None)
    if wanted is None:
        raise UserError(
            f"budget {family['label']}: none of its {len(rows)} final trainings ended well, the last "
            f"{finals[rows[-1]['id']].ending()}"
        )
    best = family.get("best_trial")  # runs of earlier versions have none
    final = finals.get(wanted["id"])
    if final is None or best is None or best["candidate"] == wanted["id"]:
        return wanted
    reached, once = final.curve[-1], best["accuracy"]
    if once - reached <= standard_error(reached, images):
        return wanted
    again = finals.get(best["candidate"])
    if again is None:
        _log.warning(
            "budget %s: the network found reached %.1f %% in its full training, and a trial %.1f %% in %d epochs, so "
            "that this one is trained fully too, and the better of the two is taken",
            family["label"],
            reached,
            once,
            best["epochs"],
        )
    elif again.outcome != "ok" or again.curve[-1] < reached:
        return wanted
    return next(row for row in rows if row["id"] == best["candidate"])


def standard_error(accuracy: float, images: int) -> float:
    """Of an accuracy in percent measured on so many images, percent."""
    share = accuracy / 100
    return 100 * math.sqrt(share * (1 - share) / images)
