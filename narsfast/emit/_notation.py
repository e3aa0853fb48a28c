"""Architectures in timm's block notation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import groupby

from narsfast.arch import Activation, Block, Definition, Row, SqueezedWidth, blocks_of, head_of

_ACTIVATIONS: dict[Activation, str] = {"relu": "re", "relu6": "r6", "silu": "sw", "hard_swish": "hs"}


def _kind(block: Block) -> str:
    """Return timm's name of a kind of block, with the kernels that only one kind has."""
    if block.kind == "conv" or (block.kind == "fused" and not block.expands):
        return "cn"
    if block.kind == "fused":
        return "er"
    if block.start_kernel or not block.kernel:
        return f"uir_a{block.start_kernel}"
    return "ir" if block.expands else "ds"


def _text(definition: Definition, row: Row, block: Block, repeats: int) -> str:
    """Return `repeats` blocks of a row, of which the first is `block`."""
    kind, _, start = _kind(block).partition("_")
    parts = [kind, f"r{repeats}", *([start] if start else []), f"k{block.kernel}", f"s{block.total_stride}"]
    if kind != "cn":
        expansion = row.expansion or f"{block.hidden / block.in_channels:.4g}"
        parts.append(f"e{expansion}")
    parts.append(f"c{block.channels}")
    if block.squeezed:
        width = SqueezedWidth.of(definition.se_width if row.se_width is None else row.se_width)
        share = 1 / abs(width.divisor) if width.divisor else block.squeezed / block.in_channels
        parts.append(f"se{share:.4g}")
    if block.act != definition.act:
        parts.append(f"n{_ACTIVATIONS[block.act]}")
    if kind == "cn" and block.shortcut:
        parts.append("skip")
    return "_".join(parts)


def block_notation(definition: Definition) -> list[list[str]]:
    """Write the stages of a definition and the first convolution of its head in timm's block notation.

    ``ir`` is an inverted residual, ``ds`` one without expansion, ``uir`` one of MobileNetV4, ``er`` a fused one and
    ``cn`` a plain convolution. They are followed by repeats, kernel (``a`` of the depthwise convolution before the
    expansion), stride, expansion, channels, the squeeze-excite ratio (of the width that the definition says, by default
    of the block's input), and the activation where it is not the definition's. The notation cannot express paddings,
    exact hidden widths and gates, and timm rounds channels to multiples of 8.

    Args:
        definition: The architecture.

    Returns:
        One list of strings per stage, as timm's ``decode_arch_def`` reads them.
    """
    blocks = iter(blocks_of(definition))
    stages: list[list[str]] = []
    for rows in definition.stages:
        stage: list[str] = []
        for row in rows:
            built = [next(blocks) for _ in range(row.repeats)]
            for _, equal in groupby(built, partial(_alike, row)):
                run = list(equal)
                stage.append(_text(definition, row, run[0], len(run)))
        stages.append(stage)
    hidden = head_of(definition).hidden
    return [*stages, [f"cn_r1_k1_s1_c{hidden}"]] if hidden else stages


def _alike(row: Row, block: Block) -> tuple[str, float]:
    """Return what the blocks of a row must share to be written together; the first one's stride is its own."""
    return _kind(block), row.expansion or block.hidden / block.in_channels


def notation_text(stages: Sequence[Sequence[str]]) -> str:
    """Return the stages as text, one per line."""
    return "\n".join(" ".join(stage) for stage in stages)
