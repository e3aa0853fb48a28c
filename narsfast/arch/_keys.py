"""Names of tensors: those of timm's and torchvision's networks beside ours, for the same definition."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from narsfast.errors import UserError

from ._definition import Definition
from ._network import Network
from ._plan import Block, blocks_of, head_of

Naming = Literal["timm", "torchvision", "ordered"]
"""Whose names: of timm's EfficientNet and MobileNet classes, of torchvision's networks, or no names but an order."""

NAMINGS: tuple[Naming, ...] = get_args(Naming)
"""All of them."""

Layers = list[tuple[str, str]]
"""Pairs of (their name, our name) of modules that hold tensors: convolutions, norms and linear layers, in order."""

_COUNTER = "num_batches_tracked"
_NONE = ("", "")


def key_map(definition: Definition, naming: str) -> list[tuple[str, str]]:
    """Pair the names of another library's tensors with ours.

    Args:
        definition: The definition of the network.
        naming: "timm"; "torchvision", whose networks have names of four kinds, of which that is taken with which the
            definition's name begins (mobilenet_v2, mobilenet_v3, efficientnet, mnasnet); or "ordered": their names are
            the positions 0, 1, ... in timm's order.

    Returns:
        (their name, our name) of every tensor of the network, buffers included, in our order.

    Raises:
        UserError: There is no such naming, or none for this definition.
    """
    if naming == "ordered":
        return [(str(index), name) for index, name in enumerate(_tensors(definition))]
    if naming == "timm":
        layers = list(_timm(definition))
    elif naming == "torchvision":
        layers = list(_dialect(definition)(definition))
    else:
        raise UserError(f"naming is {naming!r}; it should be one of {', '.join(NAMINGS)}")
    theirs = {ours: name for name, ours in layers}
    names = _tensors(definition)
    if missing := [name for name in names if name.rpartition(".")[0] not in theirs]:
        raise UserError(f"definition {definition.name!r} has no name in {naming} for {missing[0]}")
    return [
        (f"{theirs[layer]}.{tensor}", name) for name in names for layer, _, tensor in [name.rpartition(".")]
    ]


def renamed(
    state: Mapping[str, Tensor], definition: Definition, naming: str, num_classes: int, in_chans: int = 3
) -> dict[str, Tensor]:
    """Return the tensors of another library's network under our names, after a check of both sides.

    Args:
        state: Its state dict; with naming "ordered" only the order of the names counts. The counters of norms may be
            missing, all or none of them; zeros take their place.
        definition: The definition of the network.
        naming: As for `key_map`.
        num_classes: Outputs of its classifier.
        in_chans: Channels of its images.

    Raises:
        UserError: A tensor is left over on either side, or has another shape; the message names it.
    """
    with torch.device("meta"):
        shapes = Network(definition, num_classes, in_chans).state_dict()
    pairs = key_map(definition, naming)
    counted = any(name.endswith(_COUNTER) for name in state) or (
        naming == "ordered" and len(state) == len(pairs)
    )
    wanted = [pair for pair in pairs if counted or not pair[1].endswith(_COUNTER)]
    if naming == "ordered":
        if len(state) != len(wanted):
            raise UserError(
                f"there are {len(state)} tensors; the network of definition {definition.name!r} has {len(pairs)}, "
                f"{sum(_COUNTER in ours for _, ours in pairs)} of them counters of norms that may be missing"
            )
        state = {str(index): tensor for index, tensor in enumerate(state.values())}
        wanted = [(str(index), ours) for index, (_, ours) in enumerate(wanted)]
    of = f"of definition {definition.name!r}"
    known = {theirs for theirs, _ in wanted}
    if unknown := [name for name in state if name not in known]:
        raise UserError(f"tensor {unknown[0]} has no place in the network {of}{_more(unknown)}")
    if missing := [f"{theirs} (our {ours})" for theirs, ours in wanted if theirs not in state]:
        raise UserError(f"tensor {missing[0]} {of} is missing{_more(missing)}")
    result = {name: torch.zeros((), dtype=torch.long) for _, name in pairs}
    for theirs, ours in wanted:
        found, shape = tuple(state[theirs].shape), tuple(shapes[ours].shape)
        if shape not in (found, (*found, 1, 1)):  # a linear layer after the pool is our 1x1 convolution
            raise UserError(
                f"tensor {theirs} {of} has the shape {found}; it should be {shape}, as our {ours}"
            )
        result[ours] = state[theirs].reshape(shape)
    return result


def _more(names: Sequence[str]) -> str:
    return f", nor have {len(names) - 1} others" if len(names) > 1 else ""


def _tensors(definition: Definition) -> list[str]:
    """Return the names of our tensors, in the order of the network."""
    with torch.device("meta"):
        network: nn.Module = Network(definition, 1)
    return list(network.state_dict())


def _conv_norm(convolution: str, norm: str, ours: str) -> Layers:
    """Pair the layers of a `ConvNorm`."""
    return [(convolution, f"{ours}.0"), (norm, f"{ours}.1")]


def _numbered(definition: Definition) -> Iterator[tuple[str, Block]]:
    """Yield the name of each of our blocks, and the block."""
    stage, index, number = -1, 0, -1
    for block in blocks_of(definition):
        if block.stage != stage:
            stage, index, number = block.stage, 0, number + 1
        yield f"stages.{number}.{index}", block
        index += 1


def _timm(definition: Definition) -> Iterator[tuple[str, str]]:
    """Pair the layers of timm's EfficientNet (no second convolution in the head) or MobileNetV3 (with one).

    timm starts a stage where ours does, and parts one of FBNetV3's where squeeze-excite sets in with another width.
    """
    yield from _conv_norm("conv_stem", "bn1", "stem")
    universal = any(row.start_kernel or row.kernel == 0 for row in definition.rows)
    stage, index = -1, 0
    before: Block | None = None
    for ours, block in _numbered(definition):
        if before is None or before.stage != block.stage or _sets_in(before, block):
            stage, index = stage + 1, 0
        yield from _timm_block(f"blocks.{stage}.{index}", ours, block, universal)
        index, before = index + 1, block
    head = head_of(definition)
    if not head.features:
        yield from _conv_norm("conv_head", "bn2", "head.expand")
    else:
        yield from _conv_norm(f"blocks.{stage + 1}.0.conv", f"blocks.{stage + 1}.0.bn1", "head.expand")
        yield "conv_head", "head.features"
        yield "norm_head", "head.norm"
    yield "classifier", "head.classifier"


def _sets_in(before: Block, block: Block) -> bool:
    return block.squeezed > 0 == before.squeezed and before.channels != block.channels


def _timm_block(theirs: str, ours: str, block: Block, universal: bool) -> Layers:
    """Pair the layers of one block of timm's."""
    if block.kind == "conv" or (block.kind == "fused" and not block.expands):
        own = ours if block.kind == "conv" else f"{ours}.expand"
        return _conv_norm(f"{theirs}.conv", f"{theirs}.bn1", own)
    excite = _excite(f"{theirs}.se", ("conv_reduce", "conv_expand"), ours, block)
    if block.kind == "fused":
        expand = _conv_norm(f"{theirs}.conv_exp", f"{theirs}.bn1", f"{ours}.expand")
        return expand + excite + _conv_norm(f"{theirs}.conv_pwl", f"{theirs}.bn2", f"{ours}.project")
    if universal:
        names = ("dw_start", "pw_exp", "dw_mid", "pw_proj")
        layers = [(f"{theirs}.{name}.conv", f"{theirs}.{name}.bn") for name in names]
    else:
        names = ("", "conv_pw", "conv_dw", "conv_pwl") if block.expands else ("", "", "conv_dw", "conv_pw")
        norms = ("", "bn1", "bn2", "bn3") if block.expands else ("", "", "bn1", "bn2")
        layers = [(f"{theirs}.{name}", f"{theirs}.{norm}") for name, norm in zip(names, norms, strict=True)]
    return _inverted(ours, block, layers, excite)


def _inverted(ours: str, block: Block, theirs: Layers, excite: Layers) -> Layers:
    """Pair the layers that an inverted residual has.

    Args:
        ours: Our name of the block.
        block: The block.
        theirs: Their names of convolution and norm of start, expansion, depthwise and projection, if there are such.
        excite: The pairs of the squeeze-excite.
    """
    start, expand, inner, project = theirs
    layers: Layers = []
    if block.start_kernel:
        layers += _conv_norm(*start, f"{ours}.start")
    if block.expands:
        layers += _conv_norm(*expand, f"{ours}.expand")
    if block.kernel:
        layers += [(inner[0], f"{ours}.depthwise.conv"), (inner[1], f"{ours}.depthwise.norm")]
    return layers + excite + _conv_norm(*project, f"{ours}.project")


def _excite(theirs: str, names: tuple[str, str], ours: str, block: Block) -> Layers:
    """Pair the layers of a squeeze-excite, if there is one."""
    if not block.squeezed:
        return []
    own = f"{ours}.depthwise.se" if block.kind == "mbconv" else f"{ours}.se"
    return [(f"{theirs}.{names[0]}", f"{own}.reduce"), (f"{theirs}.{names[1]}", f"{own}.expand")]


def _dialect(definition: Definition) -> Callable[[Definition], Iterator[tuple[str, str]]]:
    """Return how torchvision names the network, by the beginning of the definition's name."""
    for prefix, layers in _TORCHVISION.items():
        if definition.name.startswith(prefix):
            return layers
    raise UserError(
        f"definition {definition.name!r} has no names in torchvision; those whose names begin with "
        f"{', '.join(_TORCHVISION)} have"
    )


def _mobilenet_v2(definition: Definition) -> Iterator[tuple[str, str]]:
    yield from _conv_norm("features.0.0", "features.0.1", "stem")
    number = 1
    for number, (ours, block) in enumerate(_numbered(definition), start=1):
        theirs = f"features.{number}.conv"
        last = 2 if block.expands else 1
        names = [(f"{theirs}.{place}.0", f"{theirs}.{place}.1") for place in (0, last - 1)]
        project = (f"{theirs}.{last}", f"{theirs}.{last + 1}")
        yield from _inverted(ours, block, [_NONE, *names, project], [])
    yield from _conv_norm(f"features.{number + 1}.0", f"features.{number + 1}.1", "head.expand")
    yield "classifier.1", "head.classifier"


def _torchvision_block(theirs: str, ours: str, block: Block) -> Layers:
    """Pair the layers of a block of torchvision's MobileNetV3 or EfficientNet, which numbers those that there are."""
    place = iter(range(5))

    def conv_norm() -> tuple[str, str]:
        found = f"{theirs}.{next(place)}"
        return f"{found}.0", f"{found}.1"

    if block.kind == "fused":
        layers = _conv_norm(*conv_norm(), f"{ours}.expand")
        return layers + (_conv_norm(*conv_norm(), f"{ours}.project") if block.expands else [])
    expand = conv_norm() if block.expands else _NONE
    inner = conv_norm()
    excite = _excite(f"{theirs}.{next(place)}", ("fc1", "fc2"), ours, block) if block.squeezed else []
    return _inverted(ours, block, [_NONE, expand, inner, conv_norm()], excite)


def _mobilenet_v3(definition: Definition) -> Iterator[tuple[str, str]]:
    yield from _conv_norm("features.0.0", "features.0.1", "stem")
    number = 0
    for number, (ours, block) in enumerate(_numbered(definition), start=1):
        yield from _torchvision_block(f"features.{number}.block", ours, block)
    yield from _conv_norm(f"features.{number + 1}.0", f"features.{number + 1}.1", "head.expand")
    yield "classifier.0", "head.features"
    yield "classifier.3", "head.classifier"


def _efficientnet(definition: Definition) -> Iterator[tuple[str, str]]:
    yield from _conv_norm("features.0.0", "features.0.1", "stem")
    stage = "0"
    for ours, block in _numbered(definition):
        _, stage, index = ours.split(".")
        yield from _torchvision_block(f"features.{int(stage) + 1}.{index}.block", ours, block)
    last = int(stage) + 2
    yield from _conv_norm(f"features.{last}.0", f"features.{last}.1", "head.expand")
    yield "classifier.1", "head.classifier"


def _mnasnet(definition: Definition) -> Iterator[tuple[str, str]]:
    """Pair the layers of an MNASNet, whose first block stands among the layers of the network."""
    yield from _conv_norm("layers.0", "layers.1", "stem")
    number = 7
    for ours, block in _numbered(definition):
        _, stage, index = ours.split(".")
        number = int(stage) + 7
        own = f"layers.{number}.{index}.layers" if block.expands else "layers"
        names = [(f"{own}.{place}", f"{own}.{place + 1}") for place in (0, 3, 6)]
        yield from _inverted(ours, block, [_NONE, *names], [])
    yield from _conv_norm(f"layers.{number + 1}", f"layers.{number + 2}", "head.expand")
    yield "classifier.1", "head.classifier"


_TORCHVISION: dict[str, Callable[[Definition], Iterator[tuple[str, str]]]] = {
    "mobilenet_v2": _mobilenet_v2,
    "mobilenet_v3": _mobilenet_v3,
    "efficientnet": _efficientnet,
    "mnasnet": _mnasnet,
}
