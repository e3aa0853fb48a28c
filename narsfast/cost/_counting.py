"""Counting by array arithmetic over all candidates, for the parameters of stages and the numpy reference."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from narsfast.arch import lower_genes
from narsfast.space import Space

Counts = NDArray[np.int64]


def stage_params(space: Space, genes: NDArray[np.int16]) -> Counts:
    """Count the parameters of each stage, (n, stages) int64, for canonical genes (n, F) of a space with stages."""
    lowered = lower_genes(space, genes)  # two rows per stage
    resolution, stem, _, _ = lowered.header.astype(np.int64).T
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
    kernel, expansion, outputs, stride, _, se, padding = np.where(present[:, None], row, 1).T
    padding = np.where(padding < 0, kernel // 2, padding)
    middle = round_widths(channels * expansion)
    out_side = (side + 2 * padding - kernel) // stride + 1
    shortcut = (stride == 1) & (channels == outputs) & (out_side == side)
    held = np.where(shortcut, channels * side**2, 0)
    expands = middle != channels

    one = np.ones_like(times)
    totals.conv(times * expands, channels, middle, one, side, side)
    totals.conv(times, middle, middle, kernel, side, out_side, held * expands, depthwise=True)
    squeezed = round_widths(middle // (4 * expansion))
    totals.conv(times * se, middle, squeezed, one, one, one, held)
    totals.conv(times * se, squeezed, middle, one, one, one, held)
    totals.conv(times, middle, outputs, one, out_side, out_side, held)
    totals.pooled += times * se * middle * out_side**2
    totals.others += times * (2 * middle * (1 + expands) + se * (squeezed + middle) + 2 * outputs)
    return np.where(present, outputs, channels), np.where(present, out_side, side)


def round_widths(width: Counts) -> Counts:
    """Round widths (n,) as `narsfast.arch.round_width` rounds one."""
    nearest = np.maximum(8, (width + 4) // 8 * 8)
    return np.where(20 * nearest < 19 * width, nearest + 8, nearest)
