"""A counter of the statistics of candidates, from their genes."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from narsfast import _native
from narsfast.errors import UserError
from narsfast.space import Space

from ._child_parts import part_counter
from ._latency import LatencyTable
from ._network import count_whole
from ._statistics import LATENCY, STATISTICS, check_sizes, refusing_overflow


class Counter:
    """A counter of the statistics of candidates of one space.

    A space without stages has nothing to count: `names` is empty and the result has no columns.

    Attributes:
        space: The space of the genes.
        in_chans: Channels of the images.
        num_classes: Outputs of the classifier.
        latency: Table for the additional statistic `LATENCY`, in milliseconds, or None.
        names: Names of the columns of the result.
    """

    def __init__(
        self, space: Space, in_chans: int = 3, num_classes: int = 1000, latency: LatencyTable | None = None
    ) -> None:
        check_sizes(in_chans, num_classes)
        if latency is not None:
            latency.check(space, in_chans, num_classes)
        self.space = space
        self.in_chans = in_chans
        self.num_classes = num_classes
        self.latency = latency
        self.names: tuple[str, ...] = STATISTICS if space.has_networks else ()
        if latency is not None:
            self.names = (*STATISTICS, LATENCY)

    @cached_property
    def native(self) -> _native.NetworkCounter | _native.PartCounter:
        """The native counter, which tabulates the costs of all parts that the space's networks can have."""
        if self.space.parents:
            largest = STATISTICS.index("peak_memory")
            cost = None
            if self.latency is not None:
                cost = self.latency.cost_of_children(self.space)
            return part_counter(self.space, self.in_chans, self.num_classes, largest, count_whole, cost)
        native = _native.NetworkCounter(self.space.tables(), self.in_chans, self.num_classes)
        if self.latency is not None:
            parts = native.parts
            if parts is None:
                raise UserError(f"space {self.space.name} has too many different blocks for a latency table")
            native.add_cost(self.latency.cost(parts))
        return native

    @property
    def parts(self) -> NDArray[np.int32] | None:
        """The parts in the tables (parts, 9) int32, see `_native.NetworkCounter.parts`; None if there are too many."""
        native = self.native
        return native.parts if isinstance(native, _native.NetworkCounter) else None

    def __call__(self, genes: NDArray[np.int16]) -> NDArray[np.int64] | NDArray[np.float64]:
        """Count canonical genes (n, fields) int16: statistics (n, len(names)) int64, or float64 with a latency.

        Raises:
            UserError: A network has more multiply-adds than are counted exactly.
        """
        if not self.names:
            return np.zeros((len(genes), 0), np.int64)
        array = np.ascontiguousarray(genes, dtype=np.int16)
        native = self.native
        if isinstance(native, _native.PartCounter):
            counted = native.count(array)
            return counted.astype(np.int64) if self.latency is None else counted
        with refusing_overflow():
            return native.count_int64(array) if self.latency is None else native.count_float64(array)
