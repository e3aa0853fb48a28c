"""Architectures in timm's block notation."""

from __future__ import annotations

from collections.abc import Sequence

from narsfast.arch import Definition, Row, round_width


def _block(row: Row, kind: str, stride: int, repeats: int) -> str:
    se = "_se0.25" if row.se else ""
    return f"{kind}_r{repeats}_k{row.kernel}_s{stride}_e{row.expansion}_c{row.channels}{se}"


def _row(row: Row, width: int) -> list[str]:
    """Return one row as blocks; the first is separate if it alone has (or lacks) an expansion."""

    def kind(in_channels: int) -> str:
        return "ds" if round_width(in_channels * row.expansion) == in_channels else "ir"

    first, rest = kind(width), kind(row.channels)
    if first == rest or row.repeats == 1:
        return [_block(row, first, row.stride, row.repeats)]
    return [_block(row, first, row.stride, 1), _block(row, rest, 1, row.repeats - 1)]


def block_notation(definition: Definition) -> list[list[str]]:
    """Write the stages of a definition and the first convolution of its head in timm's block notation.

    ``ir`` is an inverted residual and ``ds`` one without expansion; they are followed by repeats, kernel, stride,
    expansion, channels and the squeeze-excite ratio (of the block's input). Activations are hard-swish and gates
    hard-sigmoid. The notation cannot express paddings other than half the kernel, and timm rounds channels to multiples
    of 8.

    Args:
        definition: The architecture.

    Returns:
        One list of strings per stage, as timm's ``decode_arch_def`` reads them.
    """
    width = definition.stem_channels
    stages: list[list[str]] = []
    for stage in definition.stages:
        blocks: list[str] = []
        for row in stage:
            blocks += _row(row, width)
            width = row.channels
        stages.append(blocks)
    return [*stages, [f"cn_r1_k1_s1_c{round_width(width * definition.head_expansion)}"]]


def notation_text(stages: Sequence[Sequence[str]]) -> str:
    """Return the stages as text, one per line."""
    return "\n".join(" ".join(stage) for stage in stages)
