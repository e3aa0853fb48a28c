"""The layers of any network in the order from the images to the classifier: rates by depth, and frozen parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from torch import nn

_ROWS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def layer_numbers(network: nn.Module) -> dict[str, int]:
    """Assign numbers to the layers of a network: 0 is next to the images, the highest is the classifier alone.

    A layer is a block where a network is built of blocks, else one convolution or linear layer. Modules without weights
    of two or more dimensions (norms, scales) and a network's own parameters (tokens, positions) belong to the layer
    before them, or to the first one. The classifier is the last module with such weights. The order is the one in which
    a network registers its modules; networks of torchvision, timm and this project register them as they call them.

    Args:
        network: Any module.

    Returns:
        The number of each module that has parameters or buffers of its own, by its name as in `named_modules`.
    """
    layers: list[list[str]] = []
    leading: list[str] = []
    for unit in _apart(list(_units(network, ""))):
        if unit.weighted:
            layers.append([*leading, *unit.owners])
            leading = []
        elif layers:
            layers[-1] += unit.owners
        else:
            leading += unit.owners
    layers += [leading] if leading else []
    return {name: number for number, owners in enumerate(layers) for name in owners}


class _Unit(NamedTuple):
    """Modules with tensors of their own that stay together, by name, and those of them with weights."""

    owners: list[str]
    weighted: list[str]


def _units(module: nn.Module, name: str) -> Iterator[_Unit]:
    """Divide a network, a stage or a row of blocks."""
    children = dict(module.named_children())
    if _has_tensors(module):
        yield _Unit([name], [] if children else _weighted(module, name))
    for child_name, child in children.items():
        path = f"{name}.{child_name}" if name else child_name
        if type(child) in _ROWS or _is_stage(child):
            yield from _units(child, path)
        elif owners := [inner for inner, part in child.named_modules(prefix=path) if _has_tensors(part)]:
            yield _Unit(owners, _weighted(child, path))


def _apart(units: list[_Unit]) -> list[_Unit]:
    """Divide the unit of the classifier: what it has before its last weights is a unit of its own."""
    last = next((index for index in reversed(range(len(units))) if units[index].weighted), None)
    if last is None:
        return units
    owners, weighted = units[last]
    start = owners.index(weighted[-1])
    before = _Unit(owners[:start], weighted[:-1])
    return [*units[:last], before, _Unit(owners[start:], weighted[-1:]), *units[last + 1 :]]


def _is_stage(module: nn.Module) -> bool:
    """Tell whether a module is a stage or a network inside another one: a row in it has a block twice."""
    rows = [module] if isinstance(module, _ROWS) else [c for c in module.children() if isinstance(c, _ROWS)]
    return any(map(_repeats_a_block, rows))


def _repeats_a_block(row: nn.Module) -> bool:
    kinds = Counter(
        type(child)
        for child in row.children()
        if not isinstance(child, nn.Sequential) and _is_compound(child)
    )
    inner = [child for child in row.children() if isinstance(child, _ROWS)]
    return any(count > 1 for count in kinds.values()) or any(map(_repeats_a_block, inner))


def _is_compound(module: nn.Module) -> bool:
    return any(True for _ in module.children())


def _has_tensors(module: nn.Module) -> bool:
    return bool(module._parameters or module._buffers)


def _weighted(module: nn.Module, name: str) -> list[str]:
    """Return the names of the modules inside that have weights of two or more dimensions."""
    return [
        inner
        for inner, part in module.named_modules(prefix=name)
        if any(parameter.ndim > 1 for parameter in part.parameters(recurse=False))
    ]
