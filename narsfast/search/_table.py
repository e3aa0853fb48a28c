"""Statistics of spaces without MBConv networks: sums of one table entry per gene."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from narsfast.errors import UserError
from narsfast.space import Space


class TableCounter:
    """A counter of statistics by an additive table, in place of a `Counter`.

    Attributes:
        space: The space of the genes.
        names: Names of the columns of the result.
        table: (F, V, len(names)) float64; field f adds entry (f, v) for its value v, and entry (f, 0) if inactive.
    """

    def __init__(self, space: Space, names: tuple[str, ...], table: NDArray[np.float64]) -> None:
        wanted = (len(space.fields), int(space.sizes.max(initial=0)), len(names))
        if table.shape != wanted:
            raise UserError(
                f"table has shape {table.shape}; {space.name} with {len(names)} names needs {wanted}"
            )
        self.space = space
        self.names = names
        self.table = np.ascontiguousarray(table, np.float64)

    def __call__(self, genes: NDArray[np.int16]) -> NDArray[np.float64]:
        """Count the statistics (n, len(names)) float64 of canonical genes (n, F) int16, summed in field order."""
        sums = np.zeros((len(genes), len(self.names)))
        for field, column in enumerate(np.asarray(genes).T):
            sums += self.table[field, column]
        return sums
