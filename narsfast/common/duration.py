"""Durations as people write them: 90m, 2h, 1d."""

from __future__ import annotations

import math
import re

from narsfast.errors import UserError

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds_of(duration: str | float, field: str) -> float:
    """Return a duration in seconds.

    Args:
        duration: Seconds, or a number with its unit, as in ``90m``, ``2h``, ``1.5h`` or ``1d``.
        field: How a message names it.

    Raises:
        UserError: It is no duration above 0.
    """
    if isinstance(duration, int | float) and not isinstance(duration, bool):
        seconds = float(duration)
    else:
        found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*([smhd])", str(duration).strip().lower())
        seconds = float(found[1]) * _UNITS[found[2]] if found else math.nan
    if not (0 < seconds < math.inf):
        raise UserError(f"{field} is {duration!r}; give a number with its unit, as in 90m, 2h or 1d")
    return seconds


def duration_text(seconds: float) -> str:
    """Return a duration for people, as in ``1 h 5 min`` or ``40 s``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    hours, rest = divmod(minutes, 60)
    parts = [f"{hours} h"] * (hours > 0) + [f"{rest} min"] * (rest > 0)
    return " ".join(parts)
