"""Anchors: the children of pretrained networks that a run trains first, whatever its seed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narsfast.arch import HIDDEN, WHOLE, Definition, Family
from narsfast.cost import Budget
from narsfast.predictor import Statistics
from narsfast.search import Pool
from narsfast.space import PARENT, RESOLUTION, Candidate, Genes, Space, Value, default_recipe

from ._parents import FINETUNE

DEFAULT = 0.75
"""Share of the recipe's fields that have their default in a candidate of the pool (this project's choice): a few dozen
trainings cannot learn which of all recipes are good, and the default is better than most."""

_Anchor = tuple[NDArray[np.int16], int]  # genes (F,), and for which budget


def anchors(counter: Statistics, budgets: Sequence[Budget]) -> tuple[Genes, NDArray[np.int64]]:
    """Return what is trained first, all with the default recipe of fine-tuning.

    For each budget that is each parent as it is, at the largest resolution of the space at which it keeps the budget,
    and each parent with the same share of hidden channels in all its blocks, at the share and the resolution that use
    most of the budget. A parent that keeps no budget is taken at the smallest resolution.

    Args:
        counter: Counter of a space of children.
        budgets: Of the run, at least one.

    Returns:
        Genes (k, F), and for which budget each is there (k,); each parent once before the others.
    """
    space = counter.space
    names = [str(name) for name in space.values(PARENT)]
    turns = zip_longest(
        *([*_whole(counter, budgets, name), *_shrunk(counter, budgets, name)] for name in names)
    )
    ordered = [anchor for turn in turns for anchor in turn if anchor is not None]
    genes, band = np.stack([row for row, _ in ordered]), np.array([band for _, band in ordered], np.int64)
    first = np.sort(np.unique(space.keys(genes), return_index=True)[1])
    return genes[first], band[first]


def near_default(pool: Pool, space: Space, seed: int) -> Pool:
    """Return a pool of as many children whose recipes differ in few fields from the default of fine-tuning.

    Candidates that become equal by that are there once; others stay as they were in their place.
    """
    default = space.encode([_even(space, str(space.values(PARENT)[0]), _resolutions(space)[0], WHOLE)])[0]
    recipe = [column for column, field in enumerate(space.fields) if field.part == "recipe"]
    kept = np.random.default_rng(seed).random((len(pool), len(recipe))) < DEFAULT
    genes = pool.genes.copy()
    genes[:, recipe] = np.where(kept, default[recipe], genes[:, recipe])
    genes = space.canonical(genes)
    keys = space.keys(genes)
    first = np.sort(np.unique(keys, return_index=True)[1])
    others = np.flatnonzero(~np.isin(space.keys(pool.genes), keys))[: len(pool) - len(first)]
    rows = np.concatenate([first, others])
    return Pool(np.concatenate([genes[first], pool.genes[others]]), pool.statistics[rows], pool.band[rows])


def _whole(counter: Statistics, budgets: Sequence[Budget], name: str) -> list[_Anchor]:
    """Return a parent as it is, for each budget that it keeps."""
    space = counter.space
    forms = space.encode([_even(space, name, side, WHOLE) for side in _resolutions(space)])
    statistics = counter(forms)
    largest = [np.flatnonzero(budget.within(statistics, counter.names))[-1:] for budget in budgets]
    places = [(int(place), band) for band, inside in enumerate(largest) for place in inside]
    return [(forms[place], band) for place, band in places or [(0, 0)]]


def _shrunk(counter: Statistics, budgets: Sequence[Budget], name: str) -> list[_Anchor]:
    """Return an evenly shrunk child of a parent, for each budget that has one."""
    space = counter.space
    if _definition(space, name) is None:
        return []
    forms = space.encode(
        [_even(space, name, side, share) for share in HIDDEN if share < WHOLE for side in _resolutions(space)]
    )
    statistics = counter(forms)
    found = []
    for band, budget in enumerate(budgets):
        inside = np.flatnonzero(budget.within(statistics, counter.names))
        if len(inside):
            macs = statistics[inside, counter.names.index("macs")]
            found.append((forms[inside[int(np.argmax(macs))]], band))
    return found


def _resolutions(space: Space) -> list[int]:
    return sorted(int(side) for side in space.values(RESOLUTION))


def _definition(space: Space, name: str) -> Definition | None:
    document = next(known for known in space.parents if known.name == name)
    return None if document.definition is None else Definition.from_dict(document.definition)


def _even(space: Space, name: str, resolution: int, hidden: int) -> Candidate:
    """Return a parent with so many percent of its hidden channels, or as nearly as the space has it."""
    wanted: dict[str, Any] = {PARENT: name, RESOLUTION: resolution, **default_recipe(FINETUNE).model_dump()}
    definition = _definition(space, name)
    if definition is not None:
        for own, value in Family(definition).own.items():
            wanted[f"{name}.{own}"] = hidden if own.endswith(".hidden") else value
    genes = np.zeros((1, len(space.fields)), np.int16)
    for column, field in enumerate(space.fields):
        genes[0, column] = _nearest(field.values, wanted.get(field.fills[0]))
    return space.decode(space.canonical(genes))[0]


def _nearest(values: Sequence[Value], wanted: Any) -> int:
    """Return the place of a value: itself, the largest if it is larger than all, else the middle one."""
    if wanted in values:
        return values.index(wanted)
    numbers = [value for value in values if isinstance(value, int | float)]
    if isinstance(wanted, int | float) and len(numbers) == len(values):
        return min(range(len(values)), key=lambda place: abs(float(numbers[place]) - float(wanted)))
    return (len(values) - 1) // 2
