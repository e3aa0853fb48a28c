"""Runs whose candidates are children of pretrained networks: their space, and the copies of their parents in the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from narsfast.arch import Family, NetworkSpec, Parent, load_parents, read_parent, stored_sha256
from narsfast.cost import count_definitions
from narsfast.errors import UserError
from narsfast.runs import RunStore
from narsfast.space import PARENT, RESOLUTION, Space

FINETUNE = "finetune"
"""The recipe space of children."""
SHARES = (32, 16, 8)
"""Budgets of a space around parents: the first parent's multiply-adds, divided by these (this project's choice)."""
SMALLEST_WHOLE, WHOLE_STEP = 64, 32
"""Smallest resolution of a network that takes part whole, and the step to the next ones (this project's choice)."""
PARENTS_FOLDER = "parents"
"""Where a run keeps its parents."""


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
            "parents": [described(parent, text) for parent, text in zip(parents, references, strict=True)],
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
        described(parent, known.reference) | {"name": known.name}
        for parent, known in zip(loaded, space.parents, strict=True)
    ]
    return Space.from_dict(data)


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
    return run / PARENTS_FOLDER / f"{name}.safetensors"


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
