"""Measurement of a latency table: the parts of a space's networks, timed on this machine."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from narsfast.arch import Definition, Network, Row, create, network_settings, specs_of
from narsfast.common.threads import torch_threads
from narsfast.errors import UserError
from narsfast.space import ACTIVATIONS, BLOCK_KINDS, PARENT, Genes, Space, SqueezedWidth

from ._child_keys import OPS, WHOLE, child_module
from ._child_latency import child_interpolation, children_in_turn, in_turn
from ._child_parts import child_keys
from ._counter import Counter
from ._latency import (
    Interpolation,
    LatencyTable,
    Milliseconds,
    Parts,
    held_out_error,
    interpolated,
    without_defaults,
)
from ._network import count_whole
from ._statistics import STATISTICS

WARM_UP = 3
RUNS = 9
"""Runs of a part after the warm-up; the fastest counts, as other programs on the machine disturb it least."""
NETWORKS = 24
"""Random networks that are timed: half of them set the scale of the table, half check it."""
NETWORK_SHARE = 0.25
"""Share of the time limit for these networks."""

Report = Callable[[str, float, float], None]


def measure_latency(
    space: Space,
    in_chans: int,
    num_classes: int,
    *,
    batch: int = 1,
    threads: int = 1,
    seconds: float = 60.0,
    seed: int = 0,
    progress: Report = lambda *_: None,
) -> LatencyTable:
    """Time the parts of a space's networks, and whole networks to check how well the parts add up.

    If the time limit does not suffice for all parts, a random sample stratified by kind, side and stride is timed, and
    the table interpolates the others.

    Args:
        space: A space with stages.
        in_chans: Channels of the images.
        num_classes: Outputs of the classifier.
        batch: Images per batch.
        threads: Number of CPU threads.
        seconds: Time limit; a few parts are timed in any case.
        seed: Seed of the choice of parts and networks.
        progress: Called with the stage, the number done and the total.

    Raises:
        UserError: The space has no stages, or more different parts than fit in a table.
    """
    if not space.has_networks:
        raise UserError(f"space {space.name} has no stages, so there is nothing to time")
    parts, build, guess = (_children if space.parents else _stages)(space, in_chans, num_classes, batch, seed)
    end = time.monotonic() + seconds * (1 - NETWORK_SHARE)
    times: list[float] = []
    with torch_threads(threads), torch.inference_mode():
        for part in parts:
            if time.monotonic() > end and len(times) >= min(len(parts), 20):
                break
            times.append(_milliseconds(*build(part.tolist())))
            progress("time the blocks", len(times), len(parts))
        timed = parts[: len(times)] if space.parents else without_defaults(parts[: len(times)])
        held_out = timed[:, 0] != WHOLE
        table = LatencyTable(
            space=space.to_dict(),
            in_chans=in_chans,
            num_classes=num_classes,
            batch=batch,
            threads=threads,
            machine=_machine(),
            torch=torch.__version__,
            ops=OPS,
            parts=tuple(map(tuple, timed.tolist())),
            milliseconds=tuple(times),
            of=len(parts),
            part_error=held_out_error(timed[held_out], np.array(times)[held_out], guess=guess),
        )
        return _checked(table, space, time.monotonic() + seconds * NETWORK_SHARE, seed, progress)


Build = Callable[[list[int]], tuple[nn.Module, Tensor]]


def _stages(
    space: Space, in_chans: int, num_classes: int, batch: int, seed: int
) -> tuple[Parts, Build, Interpolation]:
    """Return the parts of a space with stages in the order of timing, what builds one, and what interpolates."""
    tabled = Counter(space, in_chans, num_classes).parts
    if tabled is None:
        raise UserError(
            f"space {space.name} has too many different blocks for a latency table; fix some fields"
        )
    parts, settings = np.unique(tabled[tabled[:, -1] > 0, :-1], axis=0), network_settings(space)
    ordered = in_turn(parts, parts[:, [0, 5, 6, 7]], seed)  # kind, stride, squeeze-excite, side
    return ordered, lambda part: _part(part, batch, num_classes, settings), interpolated


def _children(
    space: Space, in_chans: int, num_classes: int, batch: int, seed: int
) -> tuple[Parts, Build, Interpolation]:
    """Return the same of a space of children."""
    ordered = children_in_turn(child_keys(space, in_chans, num_classes, count_whole), seed)
    parents = len(space.parents)

    def interpolate(parts: Parts, milliseconds: Milliseconds, wanted: Parts) -> Milliseconds:
        return child_interpolation(parts, milliseconds, parents)(wanted)

    return ordered, lambda part: child_module(part, space.parents, batch, num_classes), interpolate


def _checked(table: LatencyTable, space: Space, end: float, seed: int, progress: Report) -> LatencyTable:
    """Return the table with its scale and its errors on whole networks."""
    genes = space.random(NETWORKS, seed)
    if space.parents:
        genes = _of_definitions(space, seed)
    if not len(genes):
        return table
    counter = Counter(space, table.in_chans, table.num_classes, latency=table)
    sums = counter(genes)[:, len(STATISTICS)]
    measured: list[float] = []
    for spec in specs_of(space, space.decode(genes)):
        network = spec.build(table.num_classes, table.in_chans, ops=OPS).eval()
        side = spec.resolution
        measured.append(_milliseconds(network, torch.randn(table.batch, table.in_chans, side, side)))
        progress("time whole networks", len(measured), NETWORKS)
        if time.monotonic() > end and len(measured) >= 6:
            break
    times = np.array(measured)
    sums = np.asarray(sums[: len(measured)], np.float64)
    scale = float(np.median(times[::2] / sums[::2]))
    guess, truth = scale * sums[1::2], times[1::2]
    return table.model_copy(
        update={
            "scale": scale,
            "networks": len(truth),
            "network_error": float(np.median(np.abs(guess / truth - 1))),
            "network_spearman": float(spearmanr(guess, truth).statistic),
        }
    )


def _of_definitions(space: Space, seed: int) -> Genes:
    """Return random children of the parents that are definitions, none where all take part whole."""
    whole = [parent.name for parent in space.parents if parent.definition is None]
    genes = space.random(NETWORKS * 8, seed)
    parents = [space.values(PARENT)[gene] for gene in genes[:, space.column(PARENT)]]
    return genes[[parent not in whole for parent in parents]][:NETWORKS]


def _part(
    part: list[int], batch: int, num_classes: int, settings: Mapping[str, Any]
) -> tuple[nn.Module, Tensor]:
    """Return a part as a module, taken out of the smallest network that has it, and an input for it.

    Args:
        part: PART_COLUMNS and OPTION_COLUMNS.
        batch: Images of the input.
        num_classes: Outputs of the classifier.
        settings: Of definitions, which all networks of the space share.
    """
    kind, kernel, expansion, inputs, outputs, stride, se, side, act, block, start, se_width = part
    image = torch.randn(batch, inputs, side, side)
    shared = {"head_expansion": 1, **settings, "act": ACTIVATIONS[act]}
    if kind == 0:
        row = Row(3, 1, 8, 1, 1, False)
        return _network(outputs, row, inputs, 1, shared | {"head_features": 8}).stem, image
    if kind == 1:
        row = Row(
            kernel,
            expansion,
            outputs,
            2 if stride == 2 else 1,
            1,
            bool(se),
            kind=BLOCK_KINDS[block],
            start_kernel=start or None,
            se_width=SqueezedWidth.from_code(se_width).written if se else None,
        )
        return _network(inputs, row, 1, 1, shared | {"head_features": 8}).stages, image
    shared |= {"head_expansion": expansion or None, "head_features": outputs or None}
    return _network(8, Row(3, 1, inputs, 1, 1, False), 1, num_classes, shared).head, image


def _network(stem: int, row: Row, in_chans: int, num_classes: int, settings: Mapping[str, Any]) -> Network:
    if settings.get("head_hidden"):
        settings = {**settings, "head_expansion": None}
    definition = Definition(name="part", resolution=32, stem_channels=stem, stages=((row,),), **settings)
    return create(definition, num_classes, in_chans, ops=OPS).eval()


def _milliseconds(module: nn.Module, x: Tensor) -> float:
    """Return the time of the fastest of `RUNS` runs."""
    for _ in range(WARM_UP):
        module(x)
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        module(x)
        times.append(1e3 * (time.perf_counter() - start))
    return min(times)


def _machine() -> str:
    """Return the name of the CPU."""
    info = Path("/proc/cpuinfo")
    names = [
        line.partition(":")[2].strip()
        for line in (info.read_text().splitlines() if info.exists() else ())
        if line.startswith("model name")
    ]
    return names[0] if names else platform.processor() or platform.machine()
