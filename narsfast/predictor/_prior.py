"""What this project's own trainings on other photos say of recipes, before a run has trained anything.

`priors.json` holds, for trainings from scratch and from pretrained parents, how much better or worse each value of a
recipe's field does, in standard deviations of the accuracies of one data set, and a portfolio of recipes. It is made by
`bench/tabular/prior.py` from tables of real trainings. The process expects that, and what a run measures overrules it:
how far the whole of it counts is learned as the slope of a statistic is (`SPREAD`). All of it is this project's choice.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from narsfast.space import Field, Space, Value

FILE = Path(__file__).with_name("priors.json")

Kind = Literal["scratch", "finetune"]
"""From fresh weights, or from pretrained ones."""

SPREAD = 2.0
"""Deviation of how far the prior counts, in multiples of that of a statistic's slope (this project's choice): with 0.3
there it counts 1 +- 0.6 times."""


@dataclass(frozen=True)
class Effects:
    """How well a recipe does with each value of a field.

    Attributes:
        values: That were trained: numbers in ascending order, or others.
        effects: Of these, in standard deviations of the accuracies of a data set.
        log: Whether numbers between them are interpolated in their logarithm.
    """

    values: tuple[Value, ...]
    effects: tuple[float, ...]
    log: bool = False

    def of(self, value: Value) -> float:
        """Return the effect of a value: of numbers between the known ones, else of the nearest, of others 0."""
        for known, effect in zip(self.values, self.effects, strict=True):
            if known == value and isinstance(known, bool) == isinstance(value, bool):
                return effect
        if not all(_number(known) for known in (value, *self.values)):
            return 0.0
        scale = math.log if self.log else float
        places = [scale(float(one)) for one in self.values]
        return float(np.interp(scale(float(value)), places, self.effects))


@dataclass(frozen=True)
class Prior:
    """What earlier trainings say, of one kind of start.

    Attributes:
        slopes: Of standardized statistics by name, in standardized labels.
        effects: Of the recipe's fields, by name.
        portfolio: Recipes that did well, the best one first, each by the fields in which it differs from the default.
        trainings: How many trainings of which data sets it is made of.
    """

    slopes: Mapping[str, float]
    effects: Mapping[str, Effects]
    portfolio: tuple[Mapping[str, Value], ...]
    trainings: Mapping[str, int]

    @classmethod
    def shipped(cls, kind: Kind) -> Prior | None:
        """Return the prior that comes with this version; None where it has none of this kind."""
        known = json.loads(FILE.read_text(encoding="utf-8")).get(kind)
        return None if known is None else cls.from_dict(known)

    @classmethod
    def from_dict(cls, known: Mapping[str, Any]) -> Prior:
        """Return the prior of plain data."""
        return cls(
            dict(known["slopes"]),
            {
                name: Effects(tuple(one["values"]), tuple(one["effects"]), bool(one["log"]))
                for name, one in known["effects"].items()
            },
            tuple(known["portfolio"]),
            dict(known["trainings"]),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "trainings": dict(self.trainings),
            "slopes": dict(self.slopes),
            "effects": {
                name: {"values": list(one.values), "effects": list(one.effects), "log": one.log}
                for name, one in self.effects.items()
            },
            "portfolio": [dict(recipe) for recipe in self.portfolio],
        }

    def column(self, space: Space) -> NDArray[np.float64]:
        """Return the effect of each code of every field, (rows,) as `gene_rows` numbers them.

        What a field is that is not active, and those of the architecture, has none.
        """
        parts = [np.array([*self._of(field), 0.0]) for field in space.fields]
        column: NDArray[np.float64] = np.concatenate(parts)
        return column

    def _of(self, field: Field) -> Sequence[float]:
        known = self.effects.get(field.name) if field.part == "recipe" else None
        return [0.0 if known is None else known.of(value) for value in field.values]


def _number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
