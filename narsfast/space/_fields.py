"""Classes of fields, as counterparts of ``choices``, ``range`` and values in space files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from narsfast.common.candidate import Value

When: TypeAlias = Mapping[str, Any] | None
"""Condition by another field: a value, a list of values, or a comparison such as ``> 1``, that activates the field."""


@dataclass(frozen=True)
class Categorical:
    """A field whose values have no order.

    Args:
        choices: The values.
        share: Name of a group of fields that share one value.
        when: Condition under which the field is active; None is always.
    """

    choices: Sequence[Value]
    share: str | None = None
    when: When = None

    def spec(self) -> dict[str, Any]:
        """Return the field in the form of a space file."""
        return _spec(self, choices=list(self.choices))


@dataclass(frozen=True)
class IntRange:
    """A field of equally spaced, ordered values.

    Args:
        low: First value, in units.
        high: Last value, in units.
        step: Distance of values, in units.
        unit: Factor on the integers: ``IntRange(1, 8, unit=0.001)`` is 0.001 to 0.008.
        share: As for `Categorical`.
        when: As for `Categorical`.
    """

    low: int
    high: int
    step: int = 1
    unit: float | None = None
    share: str | None = None
    when: When = None

    def spec(self) -> dict[str, Any]:
        """Return the field in the form of a space file."""
        return _spec(self, range=[self.low, self.high, self.step], unit=self.unit)


@dataclass(frozen=True)
class Fixed:
    """A field of one value, which is not searched.

    Args:
        value: The value.
        share: As for `Categorical`.
        when: As for `Categorical`.
    """

    value: Value
    share: str | None = None
    when: When = None

    def spec(self) -> dict[str, Any]:
        """Return the field in the form of a space file."""
        return _spec(self, value=self.value)


SpaceField: TypeAlias = Categorical | IntRange | Fixed


def _spec(field: SpaceField, **own: Any) -> dict[str, Any]:
    when = None if field.when is None else dict(field.when)
    spec = {**own, "share": field.share, "when": when}
    return {name: value for name, value in spec.items() if value is not None}


def plain(tree: Any) -> Any:
    """Return the content of a space with its fields in the form of a file."""
    if isinstance(tree, SpaceField):
        return tree.spec()
    if isinstance(tree, Mapping):
        return {name: plain(value) for name, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [plain(value) for value in tree]
    return tree
