"""Fields as Python writes them: what a space file says with ``choices``, ``range`` and a bare value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from narsfast.common.candidate import Value

When: TypeAlias = Mapping[str, Any] | None
"""From another field to what activates this one: a value, a list of values, or a comparison such as ``> 1``."""


@dataclass(frozen=True)
class Categorical:
    """A field whose values have no order.

    Args:
        choices: its values.
        share: name of a group of fields that have one value together.
        when: what activates the field; None is always.
    """

    choices: Sequence[Value]
    share: str | None = None
    when: When = None

    def spec(self) -> dict[str, Any]:
        """Return what a space file says of it."""
        return _spec(self, choices=list(self.choices))


@dataclass(frozen=True)
class IntRange:
    """A field of equally spaced values in order.

    Args:
        low: its first value, in units.
        high: its last value, in units.
        step: from one value to the next, in units.
        unit: what the whole numbers are multiplied by: ``IntRange(1, 8, unit=0.001)`` is 0.001 to 0.008.
        share, when: as in `Categorical`.
    """

    low: int
    high: int
    step: int = 1
    unit: float | None = None
    share: str | None = None
    when: When = None

    def spec(self) -> dict[str, Any]:
        """Return what a space file says of it."""
        return _spec(self, range=[self.low, self.high, self.step], unit=self.unit)


@dataclass(frozen=True)
class Fixed:
    """A field of one value, which is not searched.

    Args:
        value: the value.
        share, when: as in `Categorical`.
    """

    value: Value
    share: str | None = None
    when: When = None

    def spec(self) -> dict[str, Any]:
        """Return what a space file says of it."""
        return _spec(self, value=self.value)


SpaceField: TypeAlias = Categorical | IntRange | Fixed


def _spec(field: SpaceField, **own: Any) -> dict[str, Any]:
    when = None if field.when is None else dict(field.when)
    spec = {**own, "share": field.share, "when": when}
    return {name: value for name, value in spec.items() if value is not None}


def plain(tree: Any) -> Any:
    """Return a space's content with fields in the form of a file."""
    if isinstance(tree, SpaceField):
        return tree.spec()
    if isinstance(tree, Mapping):
        return {name: plain(value) for name, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [plain(value) for value in tree]
    return tree
