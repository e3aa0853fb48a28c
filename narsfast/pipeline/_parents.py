"""Runs whose candidates are children of pretrained networks: their space, and the copies of their parents in the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narsfast.arch import Definition, Family, NetworkSpec, Parent, load_parents, read_parent
from narsfast.cost import Budget, count_definitions
from narsfast.errors import UserError
from narsfast.predictor import Statistics
from narsfast.runs import RunStore
from narsfast.space import PARENT, RESOLUTION, Candidate, Genes, Space, Value, default_recipe

FINETUNE = "finetune"
"""The recipe space of children."""
SHARES = (8, 4, 2)
"""Budgets of a space around parents: the first parent's multiply-adds, divided by these (this project's choice)."""
SMALLEST_WHOLE, WHOLE_STEP = 64, 32
"""Smallest resolution of a network that takes part whole, and the step to the next ones (this project's choice)."""
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
            resolutions.update(_resolutions(parent))
            continue
        fields = dict(Family(parent.definition).fields)
        resolutions.update(_values(fields.pop(RESOLUTION)))
        shapes |= {f"{parent.name}.{name}": spec for name, spec in fields.items()}
    architecture[RESOLUTION] = {"choices": sorted(resolutions)} if len(resolutions) > 1 else resolutions.pop()
    return Space.from_dict(
        {
            "name": f"children of {' and '.join(names)}",
            "parents": [_described(parent, text) for parent, text in zip(parents, references, strict=True)],
            "architecture": architecture | shapes,
            "recipe": FINETUNE,
            "budgets": _budgets(parents),
        }
    )


def _resolutions(parent: Parent) -> list[int]:
    """Return the sides at which a network takes part whole: its own, and smaller ones that it can take."""
    own = parent.resolution
    sides = range(SMALLEST_WHOLE, own, WHOLE_STEP)
    return [side for side in sides if NetworkSpec(str(parent.source), side).takes(parent.in_chans)] + [own]


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
        _described(parent, known.reference) | {"name": known.name}
        for parent, known in zip(loaded, space.parents, strict=True)
    ]
    return Space.from_dict(data)


def anchors(counter: Statistics, bounds: Budget | None) -> Genes:
    """Return the parents as they are, with the default recipe of fine-tuning: the candidates that are trained first.

    Each is taken at the largest resolution of the space at which it is inside the bounds, or at the smallest.

    Args:
        counter: Counter of a space of children.
        bounds: Of the pool.
    """
    space = counter.space
    chosen = []
    for name in space.values(PARENT):
        forms = space.encode(
            [_as_it_is(space, str(name), int(resolution)) for resolution in sorted(space.values(RESOLUTION))]
        )
        place = len(forms) - 1
        if bounds is not None:
            inside = np.flatnonzero(bounds.within(counter(forms), counter.names))
            place = int(inside[-1]) if len(inside) else 0
        chosen.append(forms[place])
    return np.unique(np.stack(chosen), axis=0)


def smallest_and_largest(counter: Statistics) -> NDArray[Any]:
    """Return the statistics (2 * parents, S) of each parent's child with the least of everything, and with the most."""
    space = counter.space
    genes = np.zeros((2 * len(space.values(PARENT)), len(space.fields)), np.int16)
    for column in space.architecture_fields:
        values = space.fields[column].values
        if space.fields[column].name != PARENT:
            genes[::2, column], genes[1::2, column] = np.argmin(values), np.argmax(values)
    genes[:, space.column(PARENT)] = np.repeat(np.arange(len(space.values(PARENT))), 2)
    return np.asarray(counter(space.canonical(genes)))


def _as_it_is(space: Space, parent: str, resolution: int) -> Candidate:
    """Return a parent with all its blocks and channels, or as nearly as the space has it."""
    wanted: dict[str, Any] = {PARENT: parent, RESOLUTION: resolution, **default_recipe(FINETUNE).model_dump()}
    described = next(known for known in space.parents if known.name == parent)
    if described.definition is not None:
        own = Family(Definition.from_dict(described.definition)).own
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
    missing = [parent for parent in space.parents if not parent_file(store.path, parent.name).exists()]
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


def _described(parent: Parent, reference: str) -> dict[str, Any]:
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
