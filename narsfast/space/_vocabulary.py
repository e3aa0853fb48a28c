"""Words of blocks that definitions and spaces share, and the numbers that stand for them in tables."""

from __future__ import annotations

from typing import Any, Literal, get_args

from ._width import SqueezedWidth

Activation = Literal["hard_swish", "relu", "relu6", "silu"]
"""An activation of blocks."""
Gate = Literal["hard_sigmoid", "sigmoid"]
"""The gate of a squeeze-excite."""
BlockKind = Literal["mbconv", "fused", "conv"]
"""How a block is built; see `narsfast.arch.Row.kind`."""

ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
"""All activations, in the order of tables; the first is the default."""
GATES: tuple[Gate, ...] = get_args(Gate)
"""All gates; the first is the default."""
BLOCK_KINDS: tuple[BlockKind, ...] = get_args(BlockKind)
"""All kinds of blocks, in the order of native code."""


def code_of(name: str, value: Any) -> int:
    """Return the whole number that stands for a value of an architecture's field in tables; 0 for other values.

    Args:
        name: Name that the field fills, such as ``stage1.act``.
        value: The value.
    """
    if isinstance(value, int):
        return int(value)
    setting = name.rpartition(".")[2]
    if setting == "act" and value in ACTIVATIONS:
        return ACTIVATIONS.index(value)
    if setting == "kind" and value in BLOCK_KINDS:
        return BLOCK_KINDS.index(value)
    if setting == "se_width" and isinstance(value, str):
        return SqueezedWidth.of(value).code
    return 0
