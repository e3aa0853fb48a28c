"""Statistics of architectures, counted natively from their rows without building a network.

Two conventions are counted side by side. The published one is that of the released FBNetV3 models, whose figures it
reproduces exactly.

macs: Multiply-adds of convolutions and linear layers.
flops_published: macs plus the elements read by every average pool, and by one more over the head's features.
params: All parameters. The stem has no bias (the released models have one before the norm, to no effect).
params_published: Weights of convolutions and linear layers only; no norms, no biases.
activations: Elements of the outputs of all convolutions, batch 1.
peak_memory: Bytes at float32, batch 1: four times the largest input + output + held shortcut of one
    convolution, with norms and activations in place. A shortcut that is the convolution's own input
    counts once.
depth: Number of convolutions.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narsfast import _native
from narsfast.arch import Definition, Padding, lower_definitions
from narsfast.errors import UserError
from narsfast.space import Space

from ._latency import LatencyTable

STATISTICS = (
    "macs",
    "flops_published",
    "params",
    "params_published",
    "activations",
    "peak_memory",
    "depth",
)
"""The statistics of every space with stages, in the order of a `Counter`'s columns."""

LATENCY = "latency"
"""An additional statistic where there is a latency table, in milliseconds, float."""


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
        _check_sizes(in_chans, num_classes)
        if latency is not None:
            latency.check(space, in_chans, num_classes)
        self.space = space
        self.in_chans = in_chans
        self.num_classes = num_classes
        self.latency = latency
        self.names: tuple[str, ...] = STATISTICS if space.stages else ()
        if latency is not None:
            self.names = (*STATISTICS, LATENCY)

    @cached_property
    def native(self) -> _native.NetworkCounter:
        """The native counter, which tabulates the costs of all parts that the space's networks can have."""
        native = _native.NetworkCounter(self.space.tables(), self.in_chans, self.num_classes)
        if self.latency is not None:
            parts = native.parts
            if parts is None:
                raise UserError(f"space {self.space.name} has too many different blocks for a latency table")
            native.add_cost(self.latency.cost(parts))
        return native

    def __call__(self, genes: NDArray[np.int16]) -> NDArray[np.int64] | NDArray[np.float64]:
        """Count canonical genes (n, fields) int16: statistics (n, len(names)) int64, or float64 with a latency.

        Raises:
            UserError: A network has more multiply-adds than are counted exactly.
        """
        if not self.names:
            return np.zeros((len(genes), 0), np.int64)
        array = np.ascontiguousarray(genes, dtype=np.int16)
        with _refusing_overflow():
            return (
                self.native.count_int64(array) if self.latency is None else self.native.count_float64(array)
            )


def named(names: Sequence[str], statistics: NDArray[Any]) -> list[dict[str, int | float]]:
    """Return statistics (n, len(names)) by name, in JSON types; those in `STATISTICS` are integers."""
    return [
        {name: int(value) if name in STATISTICS else value for name, value in zip(names, row, strict=True)}
        for row in statistics.tolist()
    ]


def count_definitions(
    definitions: Sequence[Definition],
    in_chans: int = 3,
    num_classes: int = 1000,
    padding: Padding = "published",
) -> NDArray[np.int64]:
    """Count the statistics of definitions, (n, 7) int64, columns as STATISTICS.

    Args:
        definitions: n definitions.
        in_chans: Channels of the images.
        num_classes: Outputs of the classifier.
        padding: "published" pads as the definitions say, "half" by kernel // 2 everywhere.

    Raises:
        UserError: A network has more multiply-adds than are counted exactly, or an argument is out of range.
    """
    _check_sizes(in_chans, num_classes)
    header, rows = lower_definitions(definitions, padding)
    with _refusing_overflow():
        return _native.count(header, rows, in_chans, num_classes)


@contextmanager
def _refusing_overflow() -> Iterator[None]:
    try:
        yield
    except OverflowError as error:
        raise UserError(f"{error}; lower its resolution, channels or expansions") from None


def _check_sizes(in_chans: int, num_classes: int) -> None:
    for field, count in (("in_chans", in_chans), ("num_classes", num_classes)):
        if not 1 <= count < 2**31:
            raise UserError(f"{field} is {count}; it should be at least 1 and below {2**31}")
