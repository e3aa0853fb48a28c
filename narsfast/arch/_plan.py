"""The blocks of a definition one by one, with all widths and settings that its rows and defaults give."""

from __future__ import annotations

from typing import Literal, NamedTuple

from narsfast.space import Activation, BlockKind, Gate, SqueezedWidth, round_width

from ._definition import Definition, Padding
from ._row import hidden_width

Pads = int | Literal["same"]
"""Zeros on each side of a map, or TensorFlow's "same" padding."""


class Block(NamedTuple):
    """One block of a network.

    Attributes:
        kind: As in `Row`.
        in_channels: Channels of the input.
        hidden: Channels between expansion and projection; of a plain convolution those of the input.
        channels: Channels of the output.
        start_kernel: Kernel of the depthwise convolution before the expansion; 0: there is none.
        start_stride: Its stride.
        start_padding: Its padding.
        kernel: Kernel of the depthwise convolution, or the dense one of the other kinds; 0: there is none.
        stride: Its stride.
        padding: Its padding.
        squeezed: Inner width of the squeeze-excite; 0: there is none.
        act: The activation.
        se_act: The activation inside the squeeze-excite.
        se_gate: Its gate.
        norm_eps: What the norms add to the variance.
        shortcut: Whether the input is added to the output.
        stage: Index of the stage.
    """

    kind: BlockKind
    in_channels: int
    hidden: int
    channels: int
    start_kernel: int
    start_stride: int
    start_padding: Pads
    kernel: int
    stride: int
    padding: Pads
    squeezed: int
    act: Activation
    se_act: Activation
    se_gate: Gate
    norm_eps: float
    shortcut: bool
    stage: int

    @property
    def expands(self) -> bool:
        """Whether the hidden width differs from that of the input."""
        return self.hidden != self.in_channels

    @property
    def total_stride(self) -> int:
        """The stride of the whole block."""
        return self.stride * self.start_stride


class HeadPlan(NamedTuple):
    """The head of a network.

    Attributes:
        in_channels: Channels of the last block.
        hidden: Width of the convolution before the pool; 0: there is none.
        features: Width of the convolution after the pool; 0: there is none.
        bias: Whether the latter has a bias.
        norm: Whether a norm follows it.
        act: The activation.
        norm_eps: What the norms add to the variance.
    """

    in_channels: int
    hidden: int
    features: int
    bias: bool
    norm: bool
    act: Activation
    norm_eps: float

    @property
    def pooled(self) -> int:
        """Channels of the pooled map."""
        return self.hidden or self.in_channels

    @property
    def classified(self) -> int:
        """Inputs of the classifier."""
        return self.features or self.pooled


def default_padding(definition: Definition, mode: Padding, kernel: int) -> Pads:
    """Return the padding of a convolution for which no row gives any."""
    return "same" if definition.padding == "same" and mode == "published" else kernel // 2


def blocks_of(definition: Definition, mode: Padding = "published") -> list[Block]:
    """Return all blocks, in order.

    Args:
        definition: The definition.
        mode: "published" pads as it says, "half" by kernel // 2 everywhere.
    """
    blocks: list[Block] = []
    channels = definition.stem_channels
    for stage, rows in enumerate(definition.stages):
        for row in rows:
            width = SqueezedWidth.of(definition.se_width if row.se_width is None else row.se_width)
            act = row.act or definition.act
            start = row.start_kernel or 0
            for index in range(row.repeats):
                stride = row.stride if index == 0 else 1
                padding = default_padding(definition, mode, row.kernel)
                if index == 0 and row.padding is not None and mode == "published":
                    padding = row.padding
                hidden = hidden_width(row, channels)
                keeps = padding == "same" or 2 * padding == row.kernel - 1 or row.kernel == 0
                blocks.append(
                    Block(
                        kind=row.kind,
                        in_channels=channels,
                        hidden=hidden,
                        channels=row.channels,
                        start_kernel=start,
                        start_stride=1 if row.kernel else stride,
                        start_padding=default_padding(definition, mode, start),
                        kernel=row.kernel,
                        stride=stride if row.kernel else 1,
                        padding=padding,
                        squeezed=width.squeezed(channels, hidden, row.expansion) if row.se else 0,
                        act=act,
                        se_act=row.se_act or definition.se_act or act,
                        se_gate=row.se_gate or definition.se_gate,
                        norm_eps=definition.norm_eps,
                        shortcut=row.kind != "conv" and stride == 1 and channels == row.channels and keeps,
                        stage=stage,
                    )
                )
                channels = row.channels
    return blocks


def head_of(definition: Definition) -> HeadPlan:
    """Return the head."""
    rows = definition.rows
    channels = rows[-1].channels if rows else definition.stem_channels
    hidden = definition.head_hidden or 0
    if definition.head_expansion is not None:
        hidden = round_width(channels * definition.head_expansion)
    return HeadPlan(
        channels,
        hidden,
        definition.head_features or 0,
        definition.head_bias,
        definition.head_norm,
        definition.act,
        definition.norm_eps,
    )
