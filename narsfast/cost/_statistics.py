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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narsfast import _native
from narsfast.arch import Definition, Padding, lower_definitions
from narsfast.errors import UserError

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
    check_sizes(in_chans, num_classes)
    header, rows = lower_definitions(definitions, padding)
    with refusing_overflow():
        return _native.count(header, rows, in_chans, num_classes)


@contextmanager
def refusing_overflow() -> Iterator[None]:
    """Turn the overflow of a native count into an error for users."""
    try:
        yield
    except OverflowError as error:
        raise UserError(f"{error}; lower its resolution, channels or expansions") from None


def check_sizes(in_chans: int, num_classes: int) -> None:
    """Refuse sizes that no network has.

    Raises:
        UserError: One is out of range.
    """
    for field, count in (("in_chans", in_chans), ("num_classes", num_classes)):
        if not 1 <= count < 2**31:
            raise UserError(f"{field} is {count}; it should be at least 1 and below {2**31}")
