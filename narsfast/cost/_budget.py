"""Budgets: conjunctions of bounds on statistics."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narsfast.errors import UserError
from narsfast.space import parse_quantity

from ._statistics import LATENCY, STATISTICS

UNITS = {"K": 1e3, "M": 1e6, "G": 1e9}
"""Suffixes of a bound, powers of 1000; for bytes too, where a B may follow (512KB = 512,000 bytes)."""

_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_COMPARED = re.compile(r"(?:([^<>=]+)<=)?([^<>=]+)(<=|>=)([^<>=]+)")


@dataclass(frozen=True, init=False)
class Budget:
    """One conjunction of bounds: ``Budget(macs=50e6)``, ``Budget(macs=(10e6, 50e6), params=3e6)``.

    An empty budget, as used to search the recipe of one network, admits every architecture.

    Attributes:
        bounds: (lowest, highest) by statistic, both inclusive, sorted by name; lowest 0 and highest inf stand for no
            bound.

    Args:
        bounds: As the attribute.
        at_most: Highest value by statistic, or (lowest, highest).

    Raises:
        UserError: A bound is empty or not a number.
    """

    bounds: Mapping[str, tuple[float, float]]

    def __init__(
        self,
        bounds: Mapping[str, tuple[float, float]] | None = None,
        /,
        **at_most: float | tuple[float, float],
    ) -> None:
        given = dict(bounds or {}) | {name: _bounds(name, value) for name, value in at_most.items()}
        object.__setattr__(self, "bounds", dict(sorted(given.items())))
        for name, (low, high) in self.bounds.items():
            if not 0 <= low <= high:
                raise UserError(
                    f"budget {name}={low:g}:{high:g} is empty; the lower bound should be at most the upper"
                )

    def __hash__(self) -> int:
        return hash(frozenset(self.bounds.items()))

    @classmethod
    def parse(
        cls, text: str, known: Sequence[str] = (*STATISTICS, LATENCY), field: str = "budget"
    ) -> "Budget":
        """Parse "macs=50M,params=3M" (upper bounds) or "macs=10M:50M" (both bounds; either may be left out).

        The form of `label` is read too: "macs<=50M", "10M<=macs<=50M" and "macs>=10M".

        Args:
            text: Bounds joined by commas. Numbers may have K, M, G (powers of 1000); peak_memory also KB, MB, GB,
                latency also ms. A comma before three digits separates thousands.
            known: Statistics that may be bounded.
            field: What the text is of, for messages.

        Raises:
            UserError: There is no bound, a statistic is unknown, or a bound cannot be parsed.
        """
        bounds: dict[str, tuple[float, float]] = {}
        for part in filter(None, (part.strip() for part in _THOUSANDS.sub("", text).split(","))):
            name, low, high = _sides(part, field)
            _check_known(name, known)
            if name in bounds:
                raise UserError(f"{field} {text!r} bounds {name} twice; write both bounds as {name}=LOW:HIGH")
            lowest = _parse_number(low, name, f"{field} {part!r}") if low else 0.0
            highest = _parse_number(high, name, f"{field} {part!r}") if high else math.inf
            if lowest > highest:
                raise UserError(f"{field} {part!r} is empty; the lower bound should be at most the upper")
            bounds[name] = (lowest, highest)
        if not bounds:
            raise UserError(f"{field} {text!r} has no bound; give at least one, as in macs=50M")
        return cls(bounds)

    def text(self) -> str:
        """Return the form that `parse` reads: "macs=50M", "macs=10M:50M", bounds joined by commas."""
        parts = []
        for name, (low, high) in self.bounds.items():
            lower = f"{format_bound(name, low)}:" if low > 0 or math.isinf(high) else ""
            parts.append(f"{name}={lower}{'' if math.isinf(high) else format_bound(name, high)}")
        return ",".join(parts)

    def label(self) -> str:
        """Return the form for people: "macs<=50M", "10M<=macs<=50M", bounds joined by commas."""
        parts = []
        for name, (low, high) in self.bounds.items():
            if math.isinf(high):
                parts.append(f"{name}>={format_bound(name, low)}")
            else:
                lower = f"{format_bound(name, low)}<=" if low > 0 else ""
                parts.append(f"{lower}{name}<={format_bound(name, high)}")
        return ",".join(parts)

    def within(
        self, statistics: NDArray[np.int64] | NDArray[np.float64], names: Sequence[str] = STATISTICS
    ) -> NDArray[np.bool_]:
        """Return which of n architectures are within every bound, (n,) bool.

        Args:
            statistics: (n, len(names)).
            names: Names of the columns.

        Raises:
            UserError: A bounded statistic is not among `names`.
        """
        inside = np.ones(len(statistics), np.bool_)
        for name, (low, high) in self.bounds.items():
            _check_known(name, names)
            column = statistics[:, list(names).index(name)]
            inside &= (column >= low) & (column <= high)
        return inside


def format_bound(name: str, value: float) -> str:
    """Format a bound of a statistic so that it can be parsed: 50M, or 8ms for a latency."""
    if name == LATENCY:
        return repr(float(value)).removesuffix(".0") + "ms"
    return format_number(value)


def format_number(value: float) -> str:
    """Format a number in the largest unit in which it can be parsed to the same value: 50M, 1.5M, 512K, 12."""
    for unit, size in reversed(UNITS.items()):
        text = f"{value / size:.12g}"
        if value >= size and float(text) * size == value:
            return text + unit
    return repr(value).removesuffix(".0")


def _bounds(name: str, value: Any) -> tuple[float, float]:
    pair = value if isinstance(value, tuple | list) else (0.0, value)
    try:
        low, high = (float(end) for end in pair)
    except (TypeError, ValueError):
        raise UserError(
            f"budget {name} is {value!r}; give one number or two, as in {name}=(10e6, 50e6)"
        ) from None
    return low, high


def _check_known(name: str, known: Sequence[str]) -> None:
    if name not in known:
        listed = ", ".join(known) if known else "none, for this space"
        raise UserError(f"statistic {name!r} is unknown; the known ones are {listed}")


def _sides(part: str, field: str) -> tuple[str, str, str]:
    """Split one bound into the statistic and the texts of its lower and upper bound; an empty one is no bound."""
    if compared := _COMPARED.fullmatch(part):
        below, name, sign, value = (piece or "" for piece in compared.groups())
        name, value = name.strip(), value.strip()
        if sign == ">=" and not below:
            return name, value, ""
        if sign == "<=":
            return name, below.strip(), value
    name, equals, value = (piece.strip() for piece in part.partition("="))
    if not equals or set(name) & set("<>"):
        raise UserError(f"{field} {part!r} should be STATISTIC=BOUND, as in macs=50M or macs=10M:50M")
    low, colon, high = (piece.strip() for piece in value.partition(":"))
    if not value:
        raise UserError(f"{field} {part!r} has no bound; write {name}=50M, as an example")
    return (name, low, high) if colon else (name, "", low)


def _parse_number(text: str, name: str, where: str) -> float:
    try:
        if text.upper().endswith("B") and name != "peak_memory":
            raise UserError("only memory is counted in bytes")
        if text.upper().endswith("MS") and name != LATENCY:
            raise UserError("only the latency is in milliseconds")
        return parse_quantity(text)
    except UserError:
        raise UserError(
            f"{where}: the bound {text!r} should be a number such as 50M, 3.5M, 800K or 12"
        ) from None
