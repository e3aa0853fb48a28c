"""Counting by array arithmetic over all candidates, for the parameters of stages and the numpy reference."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from narsfast.arch import lower_genes
from narsfast.space import BLOCK_KINDS, Space

Counts = NDArray[np.int64]


def stage_params(space: Space, genes: NDArray[np.int16]) -> Counts:
    """Count the parameters of each stage, (n, stages) int64, for canonical genes (n, F) of a space with stages."""
    lowered = lower_genes(space, genes)  # two rows per stage
    resolution, stem = lowered.header.astype(np.int64).T[:2]
    totals = Totals(len(lowered.header))
    channels, side = stem, (resolution - 1) // 2 + 1
    params = [np.zeros_like(stem)]
    for row in np.moveaxis(lowered.rows.astype(np.int64), 1, 0):
        channels, side = count_row(totals, row, channels, side)
        params.append(totals.weights + totals.others)
    return np.diff(np.stack(params[::2], axis=1))


@dataclass
class Totals:
    """Running totals, one entry per candidate."""

    candidates: int
    macs: Counts = field(init=False)
    pooled: Counts = field(init=False)
    weights: Counts = field(init=False)
    others: Counts = field(init=False)
    activations: Counts = field(init=False)
    peak: Counts = field(init=False)
    depth: Counts = field(init=False)

    def __post_init__(self) -> None:
        for name in ("macs", "pooled", "weights", "others", "activations", "peak", "depth"):
            setattr(self, name, np.zeros(self.candidates, np.int64))

    def conv(
        self,
        times: Counts,
        inputs: Counts,
        outputs: Counts,
        kernel: Counts,
        side: Counts,
        out_side: Counts,
        held: Counts | None = None,
        depthwise: bool = False,
    ) -> None:
        """Add `times` equal convolutions on square maps; `held` counts the elements of a shortcut kept in memory."""
        fan_in = np.where(depthwise, 1, inputs)
        weights = outputs * fan_in * kernel * kernel
        elements = outputs * out_side * out_side
        alive = inputs * side * side + elements + (0 if held is None else held)
        self.macs += times * weights * out_side * out_side
        self.weights += times * weights
        self.activations += times * elements
        self.peak = np.maximum(self.peak, np.where(times > 0, alive, 0))
        self.depth += times

    def statistics(self) -> Counts:
        """Return the columns of STATISTICS."""
        columns = [self.macs, self.macs + self.pooled, self.weights + self.others, self.weights]
        return np.stack([*columns, self.activations, 4 * self.peak, self.depth], axis=1)


def count_row(totals: Totals, row: Counts, channels: Counts, side: Counts) -> tuple[Counts, Counts]:
    """Add a row (its first block, then the equal others) and return channels and side of the map after it."""
    repeats = row[:, 4]
    channels, side = _count_blocks(totals, np.minimum(repeats, 1), row, channels, side)
    rest = row.copy()
    rest[:, 3], rest[:, 6] = 1, -1
    return _count_blocks(totals, np.maximum(repeats - 1, 0), rest, channels, side)


def _count_blocks(
    totals: Totals, times: Counts, row: Counts, channels: Counts, side: Counts
) -> tuple[Counts, Counts]:
    """Add `times` equal blocks (0 where absent) and return channels and side of the map after them."""
    present = times > 0
    # An absent row is all zeros. Ones avoid divisions by zero; `times` is 0, so nothing is added to the totals.
    row = np.where(present[:, None], row, 1)
    kernel, expansion, outputs, stride, _, se, padding, hidden, kind, start, se_width = row.T
    dense, plain = kind != BLOCK_KINDS.index("mbconv"), kind == BLOCK_KINDS.index("conv")
    padding = np.where(padding < 0, kernel // 2, padding)
    middle = np.where(hidden > 0, hidden, round_widths(channels * expansion))
    middle = np.where(plain, channels, middle)
    # Without a kernel, the stride is that of the depthwise convolution before the expansion.
    out_side = np.where(kernel > 0, (side + 2 * padding - kernel) // stride, (side - 1) // stride) + 1
    inner_side = np.where(kernel > 0, side, out_side)
    shortcut = ~plain & (stride == 1) & (channels == outputs) & (out_side == side)
    held = np.where(shortcut, channels * side**2, 0)
    expands, starts, has_kernel = middle != channels, start > 0, kernel > 0
    width = np.where(expands, middle, outputs)  # of a dense convolution

    one = np.ones_like(times)
    totals.conv(times * starts, channels, channels, start, side, inner_side, depthwise=True)
    pointwise = times * (expands & ~dense)
    totals.conv(pointwise, channels, middle, one, inner_side, inner_side, held * starts)
    depthwise = times * (has_kernel & ~dense)
    later = held * (starts | expands)
    totals.conv(depthwise, middle, middle, kernel, inner_side, out_side, later, depthwise=True)
    totals.conv(times * dense, channels, width, kernel, side, out_side)
    squeezed = squeezed_widths(se_width, channels, middle, expansion)
    totals.conv(times * se, middle, squeezed, one, one, one, held)
    totals.conv(times * se, squeezed, middle, one, one, one, held)
    projects = times * (expands | ~dense)
    totals.conv(projects, middle, outputs, one, out_side, out_side, held)
    totals.pooled += times * se * middle * out_side**2
    norms = times * starts * channels + (pointwise + depthwise) * middle + times * dense * width
    totals.others += 2 * (norms + projects * outputs) + times * se * (squeezed + middle)
    return np.where(present, outputs, channels), np.where(present, out_side, side)


def squeezed_widths(rule: Counts, channels: Counts, hidden: Counts, expansion: Counts) -> Counts:
    """Return inner widths (n,) of squeeze-excites by the codes (n,) of `narsfast.arch.SqueezedWidth`."""
    code = np.maximum(-rule, 4)
    width = np.where(expansion > 0, hidden // np.maximum(expansion, 1), channels)
    quotient = np.where(code & 2, hidden, width) // (code >> 2)
    relative = np.where(code & 1, round_widths(quotient), np.maximum(quotient, 1))
    return np.where(rule > 0, rule, relative)


def round_widths(width: Counts) -> Counts:
    """Round widths (n,) as `narsfast.arch.round_width` rounds one."""
    nearest = np.maximum(8, (width + 4) // 8 * 8)
    return np.where(20 * nearest < 19 * width, nearest + 8, nearest)
