"""Anchors: candidates that are known to work, and that a run trains first, whatever its seed.

From pretrained networks those are the parents as they are and evenly shrunk ones, with the default recipe of
fine-tuning, and in other spaces even architectures with the middle recipe. All of it is this project's choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narsfast.arch import HIDDEN, WHOLE, Definition, Family
from narsfast.common.seeds import derive_seed
from narsfast.cost import Budget
from narsfast.predictor import Statistics
from narsfast.search import Pool, band_of
from narsfast.space import PARENT, RESOLUTION, Candidate, Genes, Space, Value, default_recipe

from ._parents import FINETUNE

CHANGED = 3
"""Fields of the architecture, and fields of the recipe, in which a candidate of the pool differs from an evenly shrunk
parent with the default recipe, on average (this project's choice): a few dozen trainings cannot learn which of all
children and recipes are good, and these are better than most."""
CHUNK = 4096
CHUNKS = 16
"""Candidates that are drawn at once, and how often at most, for a pool near the anchors (this project's choice)."""

_Anchor = tuple[NDArray[np.int16], int]  # genes (F,), and for which budget


SHALLOW = 2
"""Blocks of a stage that a shallow child has at most (this project's choice): with fewer blocks it has more channels."""
THIN, NEARLY_MOST = min(HIDDEN), 0.85
"""Even children with this share of hidden channels did worse than shallow ones with more in the few trainings that were
compared: the pool is near others, and as anchors others are taken that use this much of what the most expensive one
inside a budget uses (this project's choice)."""
SHARES, ORDERS = 257, 16
"""Even architectures of a space without parents: shares of the fields' values, and in how many orders fields grow (this
project's choice)."""
GOLDEN = 0.6180339887498949
"""Its multiples, without their integers, are evenly spread however many there are."""


def anchors(counter: Statistics, budgets: Sequence[Budget]) -> tuple[Genes, NDArray[np.int64]]:
    """Return the anchors of a space.

    For each budget that is each parent as it is, at the largest resolution of the space at which it keeps the budget,
    and each parent with the same share of hidden channels in all its blocks, with all its blocks, and with `SHALLOW` of
    a stage at most, at the share and the resolution that use most of the budget, but for the smallest share, which is
    taken where others leave much of the budget. A parent that keeps no budget is taken at the smallest resolution.

    In a space without parents it is, for each budget that has one, the candidate whose every field of the architecture
    is at about the same share of its values, at the share that costs most (by the first statistic), and whose recipe has
    the middle of each field's values, the lower one of two.

    Args:
        counter: Counter of the space.
        budgets: Of the run, at least one.

    Returns:
        Genes (k, F), and for which budget each is there (k,); each parent once before the others.
    """
    space = counter.space
    if not space.parents:
        return _middle(counter, budgets)
    names = [str(name) for name in space.values(PARENT)]
    turns = zip_longest(
        *([*_whole(counter, budgets, name), *_all_shrunk(counter, budgets, name)] for name in names)
    )
    ordered = [anchor for turn in turns for anchor in turn if anchor is not None]
    genes, band = np.stack([row for row, _ in ordered]), np.array([band for _, band in ordered], np.int64)
    first = np.sort(np.unique(space.keys(genes), return_index=True)[1])
    return genes[first], band[first]


def _middle(counter: Statistics, budgets: Sequence[Budget]) -> tuple[Genes, NDArray[np.int64]]:
    space = counter.space
    last = space.sizes.astype(np.int64) - 1
    columns = space.architecture_fields
    # Fields grow one after the other, so that costs grow in small steps: each is rounded up at another remainder.
    remainders = (np.arange(len(columns)) * GOLDEN + np.linspace(0, 1, ORDERS, endpoint=False)[:, None]) % 1
    grown = np.floor(np.linspace(0, 1, SHARES)[:, None, None] * last[columns] + remainders).reshape(
        -1, len(columns)
    )
    genes = np.tile(last // 2, (len(grown), 1))
    genes[:, columns] = np.where(_shrinks(counter), last[columns] - grown, grown)
    evens = space.canonical(genes.astype(np.int16))
    statistics = counter(evens)
    found: list[_Anchor] = []
    for band, budget in enumerate(budgets):
        inside = np.flatnonzero(budget.within(statistics, counter.names))
        if len(inside):
            costs = statistics[inside, 0] if statistics.shape[1] else inside
            found.append((evens[inside[int(np.argmax(costs))]], band))
    rows = np.array([row for row, _ in found], np.int16).reshape(-1, len(space.fields))
    first = np.sort(np.unique(space.keys(rows), return_index=True)[1])
    return rows[first], np.array([band for _, band in found], np.int64)[first]


def _shrinks(counter: Statistics) -> NDArray[np.bool_]:
    """Return for each field of the architecture whether its last value costs less than its first, as strides do."""
    space = counter.space
    middle = (space.sizes.astype(np.int64) - 1) // 2
    columns = space.architecture_fields
    ends = np.tile(middle, (2, len(columns), 1))
    for place, column in enumerate(columns):
        ends[:, place, column] = 0, space.sizes[column] - 1
    costs = counter(space.canonical(ends.reshape(-1, len(middle)).astype(np.int16)))
    if not costs.shape[1]:
        return np.zeros(len(columns), np.bool_)
    first, last = costs[:, 0].reshape(2, len(columns))
    less: NDArray[np.bool_] = last < first
    return less


def near_anchors(pool: Pool, counter: Statistics, budgets: Sequence[Budget], n: int, seed: int) -> Pool:
    """Return a pool of children that differ in few fields from evenly shrunk parents with the default recipe.

    Where too few of them use enough of a budget, candidates of the given pool fill it up.

    Args:
        pool: For these budgets: what fills up.
        counter: Of the pool.
        budgets: At least one.
        n: Size of the pool, as far as there are so many.
        seed: Of what is drawn.
    """
    space = counter.space
    parts: list[Genes] = []
    for number, budget in enumerate(budgets):
        own = pool.genes[pool.band == number]
        size = n // len(budgets) + (number < n % len(budgets))
        near = _near(counter, band_of(budget), size, derive_seed(seed, number))
        others = ~np.isin(space.keys(own), space.keys(near))
        parts.append(np.concatenate([near, own[others][: size - len(near)]]))
    genes, band = np.concatenate(parts), np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    first = np.sort(np.unique(space.keys(genes), return_index=True)[1])
    return Pool(genes[first], counter(genes[first]), band[first])


def _near(counter: Statistics, budget: Budget, n: int, seed: int) -> Genes:
    """Draw at most n distinct candidates near evenly shrunk parents inside a budget, every parent's as often."""
    space = counter.space
    names = [str(name) for name in space.values(PARENT)]
    bases = [
        np.concatenate([forms for (share, _), forms in _evens(space, name).items() if share > THIN])
        for name in names
    ]
    change = np.stack([_change(space, name) for name in names])
    random = np.random.default_rng(seed)
    found = np.empty((0, len(space.fields)), np.int16)
    for number in range(CHUNKS):
        parents = random.integers(len(names), size=CHUNK)
        genes = np.stack([bases[parent][random.integers(len(bases[parent]))] for parent in parents])
        changed = random.random(genes.shape) < change[parents]
        genes = space.canonical(np.where(changed, space.sobol(CHUNK, seed, skip=number * CHUNK), genes))
        found = np.concatenate([found, genes[budget.within(counter(genes), counter.names)]])
        found = found[np.sort(np.unique(space.keys(found), return_index=True)[1])][:n]
        if len(found) == n:
            break
    return found


def _change(space: Space, name: str) -> NDArray[np.float64]:
    """Return for each field the probability that a child of this parent differs there from an evenly shrunk one."""
    others = tuple(f"{other}." for other in space.values(PARENT) if other != name)
    open_fields = np.array(
        [
            len(field.values) > 1 and field.name != PARENT and not field.fills[0].startswith(others)
            for field in space.fields
        ]
    )
    change = np.zeros(len(space.fields))
    for part in ("architecture", "recipe"):
        mine = open_fields & np.array([field.part == part for field in space.fields])
        change[mine] = min(1.0, CHANGED / max(1, mine.sum()))
    return change


def whole_resolution(counter: Statistics, budgets: Sequence[Budget], name: str) -> int:
    """Return the largest resolution at which a parent as it is keeps a budget; the smallest if it keeps none."""
    genes = np.stack([row for row, _ in _whole(counter, budgets, name)])
    return max(int(candidate.architecture[RESOLUTION]) for candidate in counter.space.decode(genes))


def _whole(counter: Statistics, budgets: Sequence[Budget], name: str) -> list[_Anchor]:
    """Return a parent as it is, for each budget that it keeps."""
    forms = _evens(counter.space, name)[WHOLE, False]
    statistics = counter(forms)
    largest = [np.flatnonzero(budget.within(statistics, counter.names))[-1:] for budget in budgets]
    places = [(int(place), band) for band, inside in enumerate(largest) for place in inside]
    return [(forms[place], band) for place, band in places or [(0, 0)]]


def _all_shrunk(counter: Statistics, budgets: Sequence[Budget], name: str) -> list[_Anchor]:
    """Return evenly shrunk children of a parent, for each budget that has them: with all blocks, then shallow ones."""
    evens = _evens(counter.space, name).items()
    kinds = [
        {share: forms for (share, shallow), forms in evens if shallow is kind and (share < WHOLE or kind)}
        for kind in (False, True)
    ]
    return [anchor for forms in kinds if forms for anchor in _shrunk(counter, budgets, forms)]


def _shrunk(counter: Statistics, budgets: Sequence[Budget], by_share: Mapping[int, Genes]) -> list[_Anchor]:
    """Return one of these candidates for each budget that one keeps; they are given by their share of channels."""
    forms = np.concatenate(list(by_share.values()))
    shares = np.repeat(list(by_share), [len(genes) for genes in by_share.values()])
    statistics = counter(forms)
    macs = statistics[:, counter.names.index("macs")]
    found = []
    for band, budget in enumerate(budgets):
        inside = np.flatnonzero(budget.within(statistics, counter.names))
        if len(inside):
            better = inside[(shares[inside] > THIN) & (macs[inside] >= NEARLY_MOST * macs[inside].max())]
            chosen = better if len(better) else inside
            found.append((forms[chosen[int(np.argmax(macs[chosen]))]], band))
    return found


def _evens(space: Space, name: str) -> dict[tuple[int, bool], Genes]:
    """Return a parent with the same share of hidden channels everywhere, at each resolution, (n, F).

    By this share, and whether it is shallow.
    """
    shrinks = _definition(space, name) is not None
    sides = sorted(int(side) for side in space.values(RESOLUTION))
    return {
        (share, shallow): space.encode([_even(space, name, side, share, shallow) for side in sides])
        for share in (HIDDEN if shrinks else (WHOLE,))
        for shallow in ((False, True) if shrinks else (False,))
    }


def _definition(space: Space, name: str) -> Definition | None:
    document = next(known for known in space.parents if known.name == name)
    return None if document.definition is None else Definition.from_dict(document.definition)


def _even(space: Space, name: str, resolution: int, hidden: int, shallow: bool) -> Candidate:
    """Return a parent with so many percent of its hidden channels, or as nearly as the space has it."""
    wanted: dict[str, Any] = {PARENT: name, RESOLUTION: resolution, **default_recipe(FINETUNE).model_dump()}
    definition = _definition(space, name)
    if definition is not None:
        own = Family(definition).own
        wanted |= {
            f"{name}.{key}": hidden if key.endswith(".hidden") else value for key, value in own.items()
        }
        if shallow:
            depths = {key: int(value) for key, value in own.items() if key.endswith(".depth")}
            wanted |= {f"{name}.{key}": min(SHALLOW, depth) for key, depth in depths.items()}
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
