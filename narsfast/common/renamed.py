"""Options of a run that had other names in version 0.1: those names work in version 0.2, with a warning."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from typing import Any

from narsfast.errors import UserError

OLD_FIELDS = {
    "batch": "trials_per_batch",
    "members": "ensemble_members",
    "distil": "distill",
    "distil_weight": "distill_weight",
    "distil_temperature": "distill_temperature",
}
"""The present name of each field of `narsfast.pipeline.RunConfig` that was renamed, by its old name."""

DONE_BY_0_2 = {
    "layout": "0.2",
    "orient": False,
    "bit_depth": "0.2",
    "finalists": 1,
    "halving": False,
    "explore": True,
    "tune_parents": False,
}
"""What runs do that do not say it: what versions 0.1 and 0.2 did, in which these options were not there."""

_log = logging.getLogger("narsfast.options")


def upgrade_stored(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored configuration in the present names, which it may have already.

    Args:
        config: Configuration of a run that this version or version 0.1 made.
    """
    return {OLD_FIELDS.get(name, name): value for name, value in config.items()}


def upgrade_given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of the user in the present names; each old name is logged once per process.

    Args:
        options: What the user said.

    Raises:
        UserError: An option is given by its old name and by its present one.
    """
    for old in OLD_FIELDS.keys() & options.keys():
        new = OLD_FIELDS[old]
        if new in options:
            raise UserError(f"{old} is the old name of {new}, and both are given; leave {old} out")
        _warn(old, new)
    return upgrade_stored(options)


@cache
def _warn(old: str, new: str) -> None:
    _log.warning("option %s is now called %s; the old name works in version 0.2 only", old, new)
