"""Runs whose candidates are children of pretrained networks: their space, and the copies of their parents in the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narsfast.arch import Definition, Family, Parent, load_parents, read_parent, stored_sha256
from narsfast.cost import Budget, count_definitions
from narsfast.errors import UserError
from narsfast.predictor import Statistics
from narsfast.runs import RunStore
from narsfast.space import PARENT, RESOLUTION, Candidate, Genes, Space, Value, default_recipe

FINETUNE = "finetune"
"""The recipe space of children."""
SHARES = (32, 16, 8)
"""Budgets of a space around parents: the first parent's multiply-adds, divided by these (this project's choice)."""
_FOLDER = "parents"  # in a run


def children_space(given: Sequence[str]) -> Space:
    """Return the space of the children of pretrained networks, with recipes of fine-tuning.

    Args:
        given: The parents, each as `narsfast.arch.parse_parent` reads it.

    Raises:
        UserError: One cannot be loaded, or two have one name.
    """
    return space_around(load_parents(given), given)


def space_around(parents: Sequence[Parent], references: Sequence[str]) -> Space:
    """Return the space around loaded parents; `references` are what loads them again."""
    names = [parent.name for parent in parents]
    architecture: dict[str, Any] = {PARENT: {"choices": names} if len(names) > 1 else names[0]}
    shapes: dict[str, Any] = {}
    resolutions: set[int] = set()
    for parent in parents:
        if parent.definition is None:
            resolutions.add(parent.resolution)
            continue
        fields = dict(Family(parent.definition).fields)
        resolutions.update(_values(fields.pop(RESOLUTION)))
        shapes |= {f"{parent.name}.{name}": spec for name, spec in fields.items()}
    architecture[RESOLUTION] = {"choices": sorted(resolutions)} if len(resolutions) > 1 else resolutions.pop()
    return Space.from_dict(
        {
            "name": f"children of {' and '.join(names)}",
            "parents": [described(parent, text) for parent, text in zip(parents, references, strict=True)],
            "architecture": architecture | shapes,
            "recipe": FINETUNE,
            "budgets": _budgets(parents),
        }
    )


def with_parents(space: Space) -> Space:
    """Return a space with its parents loaded: what a file says of them is their references.

    Raises:
        UserError: A parent cannot be loaded, or is another network than the space was made for.
    """
    if all(parent.sha256 is not None for parent in space.parents):
        return space
    loaded = load_parents([parent.reference for parent in space.parents])
    data = space.to_dict()
    data["parents"] = [
        described(parent, known.reference) | {"name": known.name}
        for parent, known in zip(loaded, space.parents, strict=True)
    ]
    return Space.from_dict(data)


def anchors(counter: Statistics, budgets: Sequence[Budget]) -> tuple[Genes, NDArray[np.int64]]:
    """Return the parents as they are, with the default recipe of fine-tuning: the candidates that are trained first.

    For each budget each parent is taken at the largest resolution of the space at which it keeps the budget, if there is
    one; a parent that keeps none is taken at the smallest.

    Args:
        counter: Counter of a space of children.
        budgets: Of the run, at least one.

    Returns:
        Genes (k, F), and for which budget each is there (k,); each parent once before the others.
    """
    space = counter.space
    found = [_anchors(counter, budgets, str(name)) for name in space.values(PARENT)]
    ordered = [turn for turns in zip_longest(*found) for turn in turns if turn is not None]
    genes, band = np.stack([row for row, _ in ordered]), np.array([band for _, band in ordered], np.int64)
    first = np.sort(np.unique(space.keys(genes), return_index=True)[1])
    return genes[first], band[first]


def _anchors(
    counter: Statistics, budgets: Sequence[Budget], name: str
) -> list[tuple[NDArray[np.int16], int]]:
    """Return a parent's `anchors`: genes (F,), and for which budget."""
    space = counter.space
    forms = space.encode([_as_it_is(space, name, int(side)) for side in sorted(space.values(RESOLUTION))])
    statistics = counter(forms)
    largest = [np.flatnonzero(budget.within(statistics, counter.names))[-1:] for budget in budgets]
    places = [(int(place), band) for band, inside in enumerate(largest) for place in inside]
    return [(forms[place], band) for place, band in places or [(0, 0)]]


def _as_it_is(space: Space, parent: str, resolution: int) -> Candidate:
    """Return a parent with all its blocks and channels, or as nearly as the space has it."""
    wanted: dict[str, Any] = {PARENT: parent, RESOLUTION: resolution, **default_recipe(FINETUNE).model_dump()}
    document = next(known for known in space.parents if known.name == parent)
    if document.definition is not None:
        own = Family(Definition.from_dict(document.definition)).own
        wanted |= {f"{parent}.{name}": value for name, value in own.items()}
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


def store_parents(store: RunStore, space: Space) -> None:
    """Write the parents of a space into a run, which goes on without where they came from.

    Raises:
        UserError: One is not what the run was created with.
    """
    missing = [
        parent
        for parent in space.parents
        if stored_sha256(parent_file(store.path, parent.name)) != parent.sha256
    ]
    for known, parent in zip(missing, load_parents([parent.reference for parent in missing]), strict=True):
        if parent.sha256 != known.sha256:
            raise UserError(
                f"parent {known.reference} has other weights than the run was created with (SHA-256 "
                f"{parent.sha256[:12]}, not {str(known.sha256)[:12]}); put them back, or start another run"
            )
        parent.save(parent_file(store.path, known.name))


def parent_file(run: Path, name: str) -> Path:
    """Return where a run keeps a parent."""
    return run / _FOLDER / f"{name}.safetensors"


def stored_parents(run: Path, space: Space) -> Mapping[str, Parent]:
    """Read the parents of a run, by name."""
    return {parent.name: read_parent(parent_file(run, parent.name)) for parent in space.parents}


def described(parent: Parent, reference: str) -> dict[str, Any]:
    """Return a parent as a space has it; `reference` is what loads it again."""
    return {
        "name": parent.name,
        "reference": reference,
        "definition": None if parent.definition is None else parent.definition.to_dict(),
        "source": parent.source,
        "resolution": None if parent.source is None else parent.resolution,
        "sha256": parent.sha256,
    }


def _values(spec: Any) -> list[int]:
    if isinstance(spec, int):
        return [spec]
    if "choices" in spec:
        return list(spec["choices"])
    first, last, step = spec["range"]
    return list(range(first, last + 1, step))


def _budgets(parents: Sequence[Parent]) -> list[dict[str, int]]:
    """Return budgets below the cost of the first parent that is a definition; none where there is none."""
    definition = next((parent.definition for parent in parents if parent.definition is not None), None)
    if definition is None:
        return []
    macs = int(count_definitions([definition])[0, 0])
    return [{"macs": macs // share} for share in SHARES]
