"""The numpy reference of the native statistics."""

import numpy as np

from narsfast.arch import Rows

from ._counting import Counts, Totals, count_head, count_row, count_stem


def count_rows_reference(lowered: Rows, in_chans: int = 3, num_classes: int = 1000) -> Counts:
    """Count the statistics of rows, (n, 7) int64, columns as STATISTICS; equal to the native count."""
    header = lowered.header.astype(np.int64)
    totals = Totals(len(header))
    channels, side = count_stem(totals, in_chans, header[:, 1], header[:, 0])
    for row in np.moveaxis(lowered.rows.astype(np.int64), 1, 0):
        channels, side = count_row(totals, row, channels, side)
    count_head(totals, header, channels, side, num_classes)
    return totals.statistics()
