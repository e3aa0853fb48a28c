"""The numpy reference of the native statistics."""

import numpy as np

from narsfast.arch import Rows

from ._counting import Counts, Totals, count_row, round_widths


def count_rows_reference(lowered: Rows, in_chans: int = 3, num_classes: int = 1000) -> Counts:
    """Count the statistics of rows, (n, 7) int64, columns as STATISTICS; equal to the native count."""
    resolution, stem, head_expansion, features, head_hidden, bias, norm = lowered.header.astype(np.int64).T
    totals = Totals(len(lowered.header))
    side = (resolution - 1) // 2 + 1
    one = np.ones_like(stem)
    totals.conv(one, in_chans * one, stem, 3 * one, resolution, side)
    totals.others += 2 * stem
    channels = stem
    for row in np.moveaxis(lowered.rows.astype(np.int64), 1, 0):
        channels, side = count_row(totals, row, channels, side)

    middle = np.where(head_hidden > 0, head_hidden, round_widths(channels * head_expansion))
    expands, extra = (head_hidden + head_expansion > 0), features > 0
    totals.conv(one * expands, channels, middle, one, side, side)
    totals.others += 2 * middle * expands
    middle = np.where(expands, middle, channels)
    totals.pooled += middle * side**2 + features
    totals.conv(one * extra, middle, features, one, one, one)
    totals.others += features * (bias + 2 * norm)
    features = np.where(extra, features, middle)
    classifier = features * num_classes
    totals.macs += classifier
    totals.weights += classifier
    totals.others += num_classes
    return totals.statistics()
