"""Compound scaling: a larger or smaller network from one that was found, as FBNetV3's A comes from B, and F, G from E.

Derived from the published definitions (`narsfast.arch.zoo`): A is B's rows at 224 pixels instead of 248. G is E with
resolution 320 instead of 264, 36 blocks instead of 33, and wider stem and stages; kernels, expansions, strides and the
head's features stay. Everything else here is this project's choice: that all stages share one factor, what lies
between and beyond those networks, and how the multiply-adds that are asked for are met.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from narsfast.arch import Definition, Padding, Row, round_width
from narsfast.errors import UserError

from ._statistics import STATISTICS, count_definitions

RESOLUTION = 320 / 264
"""G's resolution over E's."""
DEPTH = 36 / 33
"""G's blocks over E's."""
WIDTH = 1.243
"""What G's channels are over E's, on the whole: the square root of what resolution and depth leave of the ratio of their
multiply-adds (2.4755 with all paddings half the kernel). Single stages of G have 1.17 to 1.67."""

_STEPS = 100  # of the way from E to G
_CLOSE = 0.02  # share of the number asked for that a network may be away from it
_CHANGES = 24  # widths that are changed one after the other to fill a gap
_MACS = STATISTICS.index("macs")


def scale(
    definition: Definition,
    macs: float,
    in_chans: int = 3,
    num_classes: int = 1000,
    padding: Padding = "published",
) -> Definition:
    """Scale a network to a number of multiply-adds.

    Upwards, resolution, depth and width grow together, by powers of `RESOLUTION`, `DEPTH` and `WIDTH` with one
    exponent; downwards the resolution shrinks. A gap between two such networks is filled by widening stages of the
    smaller one in proportion, downwards by narrowing those of the larger one. The nearest in multiply-adds is taken:
    more of them asked for never give fewer. Resolutions go in steps of 4 pixels, below 128 of 2; new widths are
    multiples of 8.

    Args:
        definition: the network.
        macs: multiply-adds asked for; those of `definition` give it back unchanged.
        in_chans: channels of the images.
        num_classes: outputs of the classifier.
        padding: as the network is built.

    Returns:
        The scaled definition, under the same name.

    Raises:
        UserError: `macs` is not above 0, or more than a factor of 100 away.
    """

    def count(networks: list[Definition]) -> list[int]:
        counted: list[int] = count_definitions(networks, in_chans, num_classes, padding)[:, _MACS].tolist()
        return counted

    own = count([definition])[0]
    if not own / 100 <= macs <= own * 100:
        raise UserError(
            f"macs is {macs:g}; it should be between a hundredth and a hundred times the network's {own:,}"
        )
    found = {own: definition}  # of equally costly ones the first: it has the least of the changes
    for group in _larger(definition) if macs > own else _smaller(definition):
        counted = count(group)
        found = dict(zip(counted, group, strict=True)) | found
        if min(counted) > macs > own or max(counted) < macs < own:
            break
    low = max((known for known in found if known <= macs), default=own)
    high = min((known for known in found if known >= macs), default=own)
    if high > low * (1 + 2 * _CLOSE):
        between = _between(found[low], 8) if macs > own else _between(found[high], -8)
        counted = count(between)
        filled = {
            known: network for known, network in zip(counted, between, strict=True) if low < known < high
        }
        found = filled | {low: found[low], high: found[high]}
    return found[min(found, key=lambda known: abs(known - macs))]


def _step(resolution: int) -> int:
    return 4 if resolution >= 128 else 2


def _larger(definition: Definition) -> Iterator[list[Definition]]:
    """Networks on the way from E to G and beyond, each at the resolutions beside its own too."""
    step = _step(definition.resolution)
    for exponent in itertools.count():
        power = exponent / _STEPS
        steps = round((definition.resolution * RESOLUTION**power - definition.resolution) / step)
        yield [
            _scaled(
                definition, definition.resolution + step * max(0, steps + beside), WIDTH**power, DEPTH**power
            )
            for beside in (0, -1, 1)
        ]


def _smaller(definition: Definition) -> Iterator[list[Definition]]:
    """Networks of smaller resolutions, down to the smallest that every kernel fits."""
    for resolution in range(definition.resolution, 0, -_step(definition.resolution)):
        scaled = _scaled(definition, resolution, 1.0, 1.0)
        try:
            Definition.from_dict(scaled.to_dict())
        except UserError:
            return
        yield [scaled]


def _between(network: Definition, change: int) -> list[Definition]:
    """The network with its widths changed to the next multiple of 8, up or down but not below 8, one after the other.

    Next comes always the width that has changed least in proportion, of equal ones the widest. From each of these
    networks one further width is changed too, every one in turn: at most one stage is a step out of proportion.
    """
    found = []
    own = sorted({row.channels for row in network.rows}, reverse=True)
    now = {width: width for width in own}
    for _ in range(_CHANGES):
        steps = {
            width: (now[width] // 8 + 1) * 8 if change > 0 else (now[width] - 1) // 8 * 8 for width in own
        }
        steps = {width: new for width, new in steps.items() if new >= 8}
        if not steps:
            break
        found += [_with_widths(network, now | {width: new}) for width, new in steps.items()]
        least = min(steps, key=lambda width: abs(steps[width] / width - 1))
        now[least] = steps[least]
    return found


def _with_widths(network: Definition, widths: dict[int, int]) -> Definition:
    stages = tuple(
        tuple(row._replace(channels=widths[row.channels]) for row in stage) for stage in network.stages
    )
    return network.model_copy(update={"stages": stages})


def _scaled(definition: Definition, resolution: int, width: float, depth: float) -> Definition:
    return definition.model_copy(
        update={
            "resolution": resolution,
            "stem_channels": _width(definition.stem_channels, width),
            "stages": tuple(_stage(stage, width, depth) for stage in definition.stages),
        }
    )


def _width(channels: int, factor: float) -> int:
    """A multiple of 8 near `channels * factor`, on the same side of `channels`; it itself where the factor is 1."""
    if factor == 1:
        return channels
    rounded = round_width(round(channels * factor))
    return max(channels, rounded) if factor > 1 else min(channels, rounded)


def _stage(stage: tuple[Row, ...], width: float, depth: float) -> tuple[Row, ...]:
    """The rows, wider and deeper: rows of one width are one stage, whose further blocks are as its last ones."""
    rows: list[Row] = []
    for index, row in enumerate(stage):
        rows.append(row._replace(channels=_width(row.channels, width)))
        if index + 1 < len(stage) and stage[index + 1].channels == row.channels:
            continue
        first = index
        while first > 0 and stage[first - 1].channels == row.channels:
            first -= 1
        blocks = sum(part.repeats for part in stage[first : index + 1])
        further = math.ceil(blocks * depth - 0.5) - blocks
        rows[-1] = rows[-1]._replace(repeats=row.repeats + further)
    return tuple(rows)
