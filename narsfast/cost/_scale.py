"""Compound scaling: a larger or smaller version of a network, as FBNetV3's A is of B, and F and G are of E.

Derived from the published definitions (`narsfast.arch.zoo`): A is B at 224 pixels instead of 248. G is E with
resolution 320 instead of 264, 36 blocks instead of 33, and wider stem and stages; kernels, expansions, strides and the
head's features are the same. Everything else is this project's choice: that all stages share one factor, the networks
between and beyond the published ones, and how a given number of multiply-adds is met.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from narsfast.arch import Definition, Padding, Row, round_width
from narsfast.errors import UserError

from ._statistics import STATISTICS, count_definitions

RESOLUTION = 320 / 264
"""Resolution of G divided by that of E."""
DEPTH = 36 / 33
"""Blocks of G divided by those of E."""
WIDTH = 1.243
"""Channels of G divided by those of E, on average: the square root of the ratio of their multiply-adds (2.4755 with
padding "half") that resolution and depth do not explain. Single stages have 1.17 to 1.67."""

_STEPS = 100  # steps from E to G
_CLOSE = 0.02  # relative deviation from the wanted multiply-adds below which nothing is filled in
_CHANGES = 24  # most successive changes of a width that fill a gap
_MACS = STATISTICS.index("macs")


def scale(
    definition: Definition,
    macs: float,
    in_chans: int = 3,
    num_classes: int = 1000,
    padding: Padding = "published",
) -> Definition:
    """Scale a network to a number of multiply-adds.

    Larger networks have more resolution, depth and width, by powers of `RESOLUTION`, `DEPTH` and `WIDTH` with a common
    exponent; smaller ones have less resolution. Between two such networks, stages of the smaller one are widened in
    proportion, or, below the given network, those of the larger one narrowed. The network nearest in multiply-adds is
    returned, so that the result grows monotonically with `macs`. Resolutions change in steps of 4 pixels, below 128 in
    steps of 2; new widths are multiples of 8.

    Args:
        definition: The network.
        macs: Wanted multiply-adds; those of `definition` return it unchanged.
        in_chans: Channels of the images.
        num_classes: Outputs of the classifier.
        padding: Padding mode with which the network is built.

    Returns:
        The scaled definition, under the same name.

    Raises:
        UserError: `macs` differs from the network's multiply-adds by more than a factor of 100.
    """

    def count(networks: list[Definition]) -> list[int]:
        counted: list[int] = count_definitions(networks, in_chans, num_classes, padding)[:, _MACS].tolist()
        return counted

    own = count([definition])[0]
    if not own / 100 <= macs <= own * 100:
        raise UserError(
            f"macs is {macs:g}; it should be between a hundredth and a hundred times the network's {own:,}"
        )
    found = {own: definition}  # of equally costly networks the first, which has the fewest changes
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
    """Yield larger networks, each also at the two neighboring resolutions."""
    step = _step(definition.resolution)
    for exponent in itertools.count():
        power = exponent / _STEPS
        steps = round((definition.resolution * RESOLUTION**power - definition.resolution) / step)
        yield [
            _scaled(
                definition, definition.resolution + step * max(0, steps + offset), WIDTH**power, DEPTH**power
            )
            for offset in (0, -1, 1)
        ]


def _smaller(definition: Definition) -> Iterator[list[Definition]]:
    """Yield networks of smaller resolutions, down to the smallest on which every kernel fits."""
    for resolution in range(definition.resolution, 0, -_step(definition.resolution)):
        scaled = _scaled(definition, resolution, 1.0, 1.0)
        try:
            Definition.from_dict(scaled.to_dict())
        except UserError:
            return
        yield [scaled]


def _between(network: Definition, change: int) -> list[Definition]:
    """Return networks whose widths move one after the other to the next multiple of 8, up or down but not below 8.

    The next width to change is always the one that has changed least in proportion, of equal ones the widest. Each
    network is also returned with every other single width changed: at most one stage is a step out of proportion.
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
        tuple(
            row._replace(
                channels=widths[row.channels], hidden=_hidden(row.hidden, widths[row.channels] / row.channels)
            )
            for row in stage
        )
        for stage in network.stages
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
    """Round `channels * factor` to a multiple of 8 without crossing `channels`; a factor of 1 changes nothing."""
    if factor == 1:
        return channels
    rounded = round_width(round(channels * factor))
    return max(channels, rounded) if factor > 1 else min(channels, rounded)


def _hidden(hidden: int | None, factor: float) -> int | None:
    """Scale an absolute hidden width with the channels; one that is an expansion follows by itself."""
    return None if hidden is None else _width(hidden, factor)


def _stage(stage: tuple[Row, ...], width: float, depth: float) -> tuple[Row, ...]:
    """Widen and deepen rows; successive rows of one width form a stage, whose added blocks equal its last one."""
    rows: list[Row] = []
    for index, row in enumerate(stage):
        rows.append(row._replace(channels=_width(row.channels, width), hidden=_hidden(row.hidden, width)))
        if index + 1 < len(stage) and stage[index + 1].channels == row.channels:
            continue
        first = index
        while first > 0 and stage[first - 1].channels == row.channels:
            first -= 1
        blocks = sum(part.repeats for part in stage[first : index + 1])
        added = math.ceil(blocks * depth - 0.5) - blocks
        rows[-1] = rows[-1]._replace(repeats=row.repeats + added)
    return tuple(rows)
