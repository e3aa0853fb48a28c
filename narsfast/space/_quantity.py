"""Amounts as people write them: ``0.5M``, ``50 M``, ``512KB``."""

from __future__ import annotations

import math
import re

from narsfast.errors import UserError

# Powers of 1000, of bytes too (this project's choice); latencies are in milliseconds.
_UNITS = {"": 1, "MS": 1, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9}
_NUMBER = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([A-Za-z]*)\s*")
QUANTITY_REMEDY = "it must be a number of at least 0, such as 2000000, 2M, 0.5G or 512KB"


def parse_quantity(text: str | float, name: str = "the amount") -> float:
    """Parse an amount: ``"0.5M"`` is 500000.0, numbers are returned unchanged.

    Args:
        text: A number, or a number with K, M, G, B, KB, MB, GB (powers of 1000) or ms.
        name: What the amount is of, for the message.

    Raises:
        UserError: The text is not an amount, or the amount is negative.
    """
    if isinstance(text, int | float) and not isinstance(text, bool):
        amount = float(text)
    else:
        match = _NUMBER.fullmatch(text) if isinstance(text, str) else None
        unit = match.group(2).upper() if match else "?"
        amount = float(match.group(1)) * _UNITS[unit] if match and unit in _UNITS else math.nan
    if not (math.isfinite(amount) and amount >= 0):
        raise UserError(f"{name} is {text!r}; {QUANTITY_REMEDY}")
    return amount
