"""Parts of children as whole numbers, by which a latency table knows them, and as modules that can be timed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from narsfast.arch import Definition, NetworkSpec, Place, Row, create, head_of, hidden_width
from narsfast.common.candidate import Value
from narsfast.space import ACTIVATIONS, BLOCK_KINDS, GATES, ParentDocument, SqueezedWidth

CHILD_COLUMNS = (
    "kind",
    "kernel",
    "hidden",
    "in",
    "out",
    "stride",
    "squeezed",
    "side",
    "act",
    "block",
    "start_kernel",
    "padding",
    "shortcut",
    "se_act",
    "se_gate",
    "parent",
)
"""Columns of the parts of children: kind is one of `KINDS`; side is that of the input, in pixels; a head's hidden width
is that of its convolution before the pool, and out of the one after it; padding -1 is the definition's; parent is the
place of the parent among those of the space, whose other settings the part has. What a part does not have is 0."""
KINDS = ("stem", "block", "head", "whole")
"""Kinds of parts; a network that takes part whole is one part."""
STEM, BLOCK, HEAD, WHOLE = range(len(KINDS))
ABSENT = -1
"""The kind of a part that a network does not have."""
OPS = "fused"

Keys = NDArray[np.int32]
Columns = dict[str, int]


def keys_of(parts: Sequence[Columns], kind: int, parent: int, sides: Sequence[int]) -> Keys:
    """Return the keys (sides, parts, columns) of parts of one kind at several sides of their inputs."""
    shared = {"kind": kind, "parent": parent}
    rows = [[(part | shared).get(column, 0) for column in CHILD_COLUMNS] for part in parts]
    keys = np.tile(np.array(rows, np.int32), (len(sides), 1, 1))
    keys[..., CHILD_COLUMNS.index("side")] = np.array(sides, np.int32)[:, None]
    return keys


def block_columns(place: Place, values: Mapping[str, Value], definition: Definition) -> Columns:
    """Return the columns of a block of a child, but for kind, side and parent."""
    row, inputs = place.child(values), place.into.of(values)
    hidden = hidden_width(row, inputs)
    act = row.act or definition.act
    columns = {
        "kernel": row.kernel,
        "hidden": hidden,
        "in": inputs,
        "out": row.channels,
        "stride": row.stride,
        "act": ACTIVATIONS.index(act),
        "block": BLOCK_KINDS.index(row.kind),
        "start_kernel": row.start_kernel or 0,
        "padding": -1 if row.padding is None else row.padding,
        "shortcut": int(row.shortcut and row.stride == 1 and inputs == row.channels and row.kind != "conv"),
    }
    if row.se:
        width = SqueezedWidth.of(definition.se_width if row.se_width is None else row.se_width)
        columns |= {
            "squeezed": width.squeezed(inputs, hidden, row.expansion),
            "se_act": ACTIVATIONS.index(row.se_act or definition.se_act or act),
            "se_gate": GATES.index(row.se_gate or definition.se_gate),
        }
    return columns


def head_columns(definition: Definition) -> Columns:
    """Return the columns of the head of a child, but for kind, side and parent."""
    head = head_of(definition)
    return {"in": head.in_channels, "hidden": head.hidden, "out": head.features}


def child_module(
    key: Sequence[int], parents: Sequence[ParentDocument], batch: int, num_classes: int
) -> tuple[nn.Module, Tensor]:
    """Return a part as a module, taken out of the smallest network that has it, and an input for it.

    Args:
        key: `CHILD_COLUMNS`.
        parents: Of the space.
        batch: Images of the input.
        num_classes: Outputs of the classifier.
    """
    part = dict(zip(CHILD_COLUMNS, key, strict=True))
    parent, side = parents[part["parent"]], part["side"]
    image = torch.randn(batch, part["in"], side, side)
    if part["kind"] == WHOLE:
        spec = NetworkSpec(parent.source or parent.reference, side)
        return spec.build(num_classes, part["in"]).eval(), image
    definition = Definition.from_dict(parent.definition or {})
    small = Row(1, None, 8, 1, 1, False, kind="conv")
    if part["kind"] == STEM:
        return _network(definition, part["out"], small, in_chans=part["in"]).stem, image
    if part["kind"] == HEAD:
        row = small._replace(channels=part["in"])
        head: dict[str, Any] = {"head_hidden": part["hidden"] or None, "head_features": part["out"] or None}
        return _network(definition, 8, row, num_classes=num_classes, **head).head, image
    return _network(definition, part["in"], _row(part)).stages, image


def _row(part: Columns) -> Row:
    plain = BLOCK_KINDS[part["block"]] == "conv"
    return Row(
        kernel=part["kernel"],
        expansion=None,
        channels=part["out"],
        stride=2 if part["stride"] == 2 else 1,
        repeats=1,
        se=part["squeezed"] > 0,
        padding=None if part["padding"] < 0 else part["padding"],
        hidden=None if plain else part["hidden"],
        kind=BLOCK_KINDS[part["block"]],
        start_kernel=part["start_kernel"] or None,
        act=ACTIVATIONS[part["act"]],
        se_width=part["squeezed"] or None,
        se_act=ACTIVATIONS[part["se_act"]],
        se_gate=GATES[part["se_gate"]],
        shortcut=bool(part["shortcut"]),
    )


def _network(
    definition: Definition, stem: int, row: Row, *, in_chans: int = 1, num_classes: int = 1, **head: Any
) -> Any:
    """Build a network of one row with the settings of a definition."""
    if not head:
        head = {"head_hidden": None, "head_features": None, "head_bias": False, "head_norm": False}
    update = {"stem_channels": stem, "stages": ((row,),), "head_expansion": None, **head}
    return create(definition.model_copy(update=update), num_classes, in_chans, ops=OPS).eval()


def child_regressors(parts: Keys, parents: int) -> NDArray[np.float64]:
    """Return the regressors (n, D) of stems, blocks and heads: logs of sizes, their products, and options.

    Args:
        parts: (n, columns).
        parents: Of the space.
    """
    part = dict(zip(CHILD_COLUMNS, parts.astype(np.float64).T, strict=True))
    kind, inputs, outputs, side = part["kind"], part["in"], np.maximum(part["out"], 1), part["side"]
    hidden, kernel, stride = part["hidden"], part["kernel"], part["stride"]
    head, stem = kind == HEAD, kind == STEM
    dense = part["block"] != BLOCK_KINDS.index("mbconv")
    middle = np.where(stem, outputs, np.where(hidden > 0, hidden, inputs))
    out_side = np.where(head, 1, np.ceil(side / np.where(stem, 2, np.maximum(stride, 1))))
    inner_side = np.where(kernel > 0, side, out_side)
    taps = np.where(dense, kernel**2, 1)
    pointwise = inputs * middle * taps * np.where(dense, out_side, inner_side) ** 2
    pointwise = pointwise * ((middle != inputs) | dense) + middle * outputs * out_side**2
    windows = middle * kernel**2 * out_side**2 * ~dense + inputs * part["start_kernel"] ** 2 * inner_side**2
    sizes = (pointwise, windows, inputs * side**2, middle * inner_side**2, outputs * out_side**2)
    logs = [np.log1p(size) for size in sizes] + [np.log(middle), np.log(side)]
    squares = [a * b for i, a in enumerate(logs) for b in logs[i:]]
    se, starts, expands = part["squeezed"] > 0, part["start_kernel"] > 0, middle != inputs
    options = [stem, head, stride == 2, se, starts, expands, kernel == 0, part["shortcut"], se * logs[3]]
    options += [part["block"] == index for index in range(1, len(BLOCK_KINDS))]
    options += [part["act"] == index for index in range(1, len(ACTIVATIONS))]
    options += [part["parent"] == index for index in range(1, parents)]
    return np.stack([*options, *logs, *squares], axis=1).astype(np.float64)
