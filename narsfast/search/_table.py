"""Statistics of a space whose architectures are not ours: sums of one entry a gene."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from narsfast.errors import UserError
from narsfast.space import Space


class TableCounter:
    """Counts the statistics of candidates by an additive table; takes the place of a `Counter`.

    Attributes:
        space: The space whose genes are counted.
        names: Names of the result's columns.
        table: (F, V, len(names)) float64: entry (f, v) is what field f adds with its value v. An inactive
            field adds its entry 0.
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
        """Canonical genes (n, F) int16 to statistics (n, len(names)) float64, summed field after field."""
        sums = np.zeros((len(genes), len(self.names)))
        for field, column in enumerate(np.asarray(genes).T):
            sums += self.table[field, column]
        return sums
