"""Tensors from elsewhere as the weights of a known network: every tensor has its place, and every place its tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from narsfast.errors import UserError

from ._definition import Definition
from ._keys import NAMINGS, key_map, renamed
from ._model import create_model
from ._network import Network
from ._stem import OWN_STEM, Stem, stem_of
from ._weights import CLASSIFIER

_COUNTER = "num_batches_tracked"  # of norms, which older files lack
_KNOWN = 0.2  # share of a network's names, below which the tensors are those of another network
_SHOWN = 2  # tensors named in an error


@dataclass(frozen=True)
class Fitted:
    """Weights that fit a network.

    Attributes:
        weights: By the names of its `state_dict`.
        classifier: Names of those whose shapes depend on the number of classes.
        stem: Its first layer; None where that is no convolution.
        num_classes: Classes that it knows.
        in_chans: Channels of its images.
    """

    weights: dict[str, Tensor]
    classifier: tuple[str, ...]
    stem: Stem | None
    num_classes: int
    in_chans: int


def fit_definition(tensors: Mapping[str, Tensor], definition: Definition, *, ordered: bool = False) -> Fitted:
    """Fit tensors to the network of a definition, by narsfast's names, timm's or torchvision's, whichever they have.

    Args:
        tensors: By name.
        definition: The network.
        ordered: Whether names that nobody knows are taken by their order, which is timm's.

    Raises:
        UserError: A tensor is left over on either side, or has another shape; the sentence names it.
    """
    naming, theirs = _naming(tensors, definition, ordered)
    names = list(tensors)
    if len(names) < 3:
        raise UserError(f"there are {len(names)} tensors only")
    weight, stem = f"{CLASSIFIER}weight", OWN_STEM.weight
    if naming == "ordered":
        classified, first = tensors[names[-2]], tensors[names[0]]
    else:
        classified, first = (_required(tensors, theirs[name], definition.name) for name in (weight, stem))
    if classified.ndim < 2 or first.ndim != 4:
        raise UserError(f"tensor {theirs[weight]} of definition {definition.name!r} is no classifier's")
    num_classes, in_chans = classified.shape[0], first.shape[1]
    if naming == "own":
        with torch.device("meta"):
            network = Network(definition, num_classes, in_chans)
        shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
        weights = _checked(tensors, shapes, f"definition {definition.name!r}")
    else:
        weights = renamed(tensors, definition, naming, num_classes, in_chans)
    return Fitted(weights, (weight, f"{CLASSIFIER}bias"), OWN_STEM, num_classes, in_chans)


def _naming(
    tensors: Mapping[str, Tensor], definition: Definition, ordered: bool
) -> tuple[str, dict[str, str]]:
    """Return whose names tensors have, and these names by ours."""
    own = dict.fromkeys(name for name, _ in _pairs(definition, "ordered"))
    maps = {"own": {name: name for name in own}}
    for naming in NAMINGS:
        if naming != "ordered":
            pairs = _pairs(definition, naming)
            if pairs:
                maps[naming] = dict(pairs)
    known = {naming: sum(name in tensors for name in names.values()) for naming, names in maps.items()}
    best = max(known, key=lambda naming: known[naming])
    if known[best] < _KNOWN * len(maps[best]) and not (ordered and known[best] == 0):
        raise UserError(
            f"of the {len(tensors)} tensors ({_some(list(tensors))}), {known[best]} have names of definition "
            f"{definition.name!r}, which has {len(maps[best])}"
        )
    return ("ordered", maps["own"]) if known[best] == 0 else (best, maps[best])


def _pairs(definition: Definition, naming: str) -> list[tuple[str, str]]:
    """Return (our name, their name) of all tensors; none where a library has no names for the definition."""
    try:
        return [(ours, theirs) for theirs, ours in key_map(definition, naming)]
    except UserError:
        return []


def _required(tensors: Mapping[str, Tensor], name: str, of: str) -> Tensor:
    if name not in tensors:
        raise UserError(f"tensor {name} of definition {of!r} is missing")
    return tensors[name]


def fit_network(tensors: Mapping[str, Tensor], source: str) -> Fitted:
    """Fit tensors to a network that is no definition, by its own names.

    Args:
        tensors: By name.
        source: The network, as `create_model` takes it.

    Raises:
        UserError: A tensor is left over on either side, or has another shape; the sentence names it.
    """
    few, more = (_shapes(source, classes, 3) for classes in (2, 3))
    classifier = tuple(name for name, shape in few[0].items() if more[0].get(name) != shape)
    known = next((name for name in classifier if name in tensors and tensors[name].ndim), None)
    if known is None:
        wanted = f" ({classifier[0]})" if classifier else ""
        raise UserError(f"the tensors have no classifier{wanted}")
    axis = next(i for i, (a, b) in enumerate(zip(few[0][known], more[0][known], strict=True)) if a != b)
    per_class = more[0][known][axis] - few[0][known][axis]
    num_classes = tensors[known].shape[axis] // per_class
    stem = few[1]
    in_chans = tensors[stem.weight].shape[1] if stem is not None and stem.weight in tensors else 3
    weights = _checked(tensors, _shapes(source, num_classes, in_chans)[0], source)
    return Fitted(weights, classifier, stem, num_classes, in_chans)


def _shapes(source: str, num_classes: int, in_chans: int) -> tuple[dict[str, torch.Size], Stem | None]:
    """Return the shapes of a network's tensors, and its first layer."""
    code = source.rpartition(":")[0].endswith(".py")  # that need not work on the meta device
    with torch.random.fork_rng(devices=[]), torch.device("cpu" if code else "meta"):
        network = create_model(source, num_classes, in_chans)
    return {name: tensor.shape for name, tensor in network.state_dict().items()}, stem_of(network)


def _checked(
    tensors: Mapping[str, Tensor], shapes: Mapping[str, torch.Size], network: str
) -> dict[str, Tensor]:
    """Return the tensors in the order of the network; counters of norms may be missing, all of them."""
    if unknown := [name for name in tensors if name not in shapes]:
        raise UserError(f"tensor {_some(unknown)} has no place in {network}")
    counters = {name for name in shapes if name.endswith(_COUNTER)}
    counted = any(name in tensors for name in counters)
    wanted = [name for name in shapes if counted or name not in counters]
    if missing := [name for name in wanted if name not in tensors]:
        raise UserError(f"tensor {_some(missing)} of {network} is missing")
    for name in wanted:
        if tensors[name].shape != shapes[name]:
            raise UserError(
                f"tensor {name} has the shape {tuple(tensors[name].shape)}; in {network} it has {tuple(shapes[name])}"
            )
    return {name: tensors[name] if name in tensors else torch.zeros((), dtype=torch.long) for name in shapes}


def _some(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" (and {more} more)" if more > 0 else "")
