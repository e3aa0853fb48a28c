"""A column of genes (`Field`), and the `Condition` under which it is active."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from narsfast.common.candidate import Value
from narsfast.errors import UserError

Part = Literal["architecture", "recipe"]
"""The parts of a candidate."""
Kind = Literal["categorical", "range", "fixed"]
"""The kinds of a field."""

KINDS: tuple[Kind, ...] = ("categorical", "range", "fixed")
PARTS: tuple[Part, ...] = ("architecture", "recipe")


@dataclass(frozen=True)
class Condition:
    """A condition, which holds when the field `parent` is active and has one of `values`.

    Attributes:
        parent: Name of another field, in an earlier column.
        values: Values of the parent for which the dependent field is active.
    """

    parent: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Field:
    """A column of genes.

    Attributes:
        name: For example ``stage2.kernel.rest``; the group's name if the field is shared.
        part: Whether it belongs to the architecture or the recipe.
        values: All legal values, in order; a gene is an index into them.
        kind: ``categorical``, ``range`` or ``fixed``; a fixed field has one value and is not searched.
        fills: Names of the settings it provides: its own name, or all names of the sharing group.
        conditions: The field is active if it has none, or if any of them holds.
    """

    name: str
    part: Part
    values: tuple[Value, ...]
    kind: Kind
    fills: tuple[str, ...]
    conditions: tuple[Condition, ...] = ()

    @cached_property
    def _index(self) -> dict[tuple[bool, object], int]:
        return {_lookup_key(value): index for index, value in enumerate(self.values)}

    def index(self, value: object) -> int:
        """Return the gene of `value`.

        Raises:
            UserError: `value` is not legal; the message lists the legal values.
        """
        found = self._index.get(_lookup_key(value)) if isinstance(value, _SCALARS) else None
        if found is None:
            raise UserError(f"{self.name} is {value!r}; it must be {self.legal()}")
        return found

    def legal(self) -> str:
        """Return the legal values in words, for messages: ``3 or 5``, ``8 to 24 in steps of 8``."""
        if self.kind == "range" and len(self.values) > 2:
            first, second, *_, last = map(float, self.values)
            step = round(second - first, 12)
            if abs(first + step * (len(self.values) - 1) - last) < 0.01 * step:
                return f"{self.values[0]} to {self.values[-1]} in steps of {step:g}"
        shown = [repr(value) for value in self.values]
        if len(shown) == 1:
            return shown[0]
        if len(shown) > _SHOWN_VALUES:
            return f"one of {', '.join(shown[:_SHOWN_VALUES])}, ... ({len(shown)} values)"
        return ", ".join(shown[:-1]) + " or " + shown[-1]


_SHOWN_VALUES = 20
_SCALARS = (bool, int, float, str, np.bool_, np.integer, np.floating)


def _lookup_key(value: object) -> tuple[bool, object]:
    """Return a key by which numbers compare by value and booleans differ from numbers."""
    return isinstance(value, bool | np.bool_), value
