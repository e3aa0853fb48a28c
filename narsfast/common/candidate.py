"""An architecture together with the recipe that trains it, as every package speaks of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

Value: TypeAlias = int | float | str | bool
"""A value of a field."""


@dataclass(frozen=True)
class Candidate:
    """An architecture together with the recipe that trains it.

    Attributes:
        architecture: Value of each active architecture name.
        recipe: Value of each active recipe name.
    """

    architecture: Mapping[str, Value]
    recipe: Mapping[str, Value]

    def __hash__(self) -> int:
        return hash(self.id)

    @cached_property
    def id(self) -> str:
        """16 hex digits: the start of the SHA-256 of `canonical_json` of both parts."""
        return digest({"architecture": dict(self.architecture), "recipe": dict(self.recipe)})


def canonical_json(data: object) -> str:
    """Write JSON with sorted keys and no spaces: equal data, equal text."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(data: object) -> str:
    """Return 16 hex digits: the start of the SHA-256 of `canonical_json`."""
    return hashlib.sha256(canonical_json(data).encode()).hexdigest()[:16]
