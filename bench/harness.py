"""Timing for every benchmark: variants take turns, medians over the rounds, and the machine they ran on."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from bench import contention
from narsfast import _native

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


def machine() -> dict[str, Any]:
    cpu = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        cpu = names[0] if names else cpu
    return {
        "cpu": cpu,
        "cores": os.cpu_count() or 1,
        "isa": _native.isa(),
        "torch": torch.__version__,
        "torch_isa": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "load": [round(value, 2) for value in os.getloadavg()],
    }


def take_turns(
    calls: Mapping[str, Callable[[], Any]], rounds: int, at_least: float = 2e-3
) -> dict[str, float]:
    """Median seconds of each call over the rounds."""
    times = all_rounds(calls, rounds, at_least)
    return {name: statistics.median(values) for name, values in times.items()}


def all_rounds(
    calls: Mapping[str, Callable[[], Any]], rounds: int, at_least: float = 2e-3, warm: bool = False
) -> dict[str, list[float]]:
    """Seconds of each call in every round; in a round each runs once, short ones several times on end.

    warm: in each round a call runs once more before it is timed, so that all find in the caches what they left there,
    the long ones as well as the short ones.
    """
    repeats = {}
    for name, call in calls.items():
        call()
        start = time.perf_counter()
        call()
        repeats[name] = max(1, int(at_least / max(time.perf_counter() - start, 1e-7)))
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            if warm:
                call()
            start = time.perf_counter()
            for _ in range(repeats[name]):
                call()
            times[name].append((time.perf_counter() - start) / repeats[name])
    return times


def arguments(
    description: str | None,
    data: bool | Callable[[argparse.Namespace], bool] = False,
    add: Callable[[argparse.ArgumentParser], None] | None = None,
) -> argparse.Namespace:
    """The options that every script has: quick, json; with `data` also the folder that it reads; and what `add` adds.

    A script with an option ``table`` needs no folder where it is given: a table may lie beside its description. Of a
    script that reads none in some cases, `data` is a function that says from the options whether it does.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="less of everything: minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write figures, rows and machine there")
    if data:
        parser.add_argument(
            "--data",
            type=Path,
            metavar="DIR",
            default=SHARED_DATA if SHARED_DATA.is_dir() else None,
            help="folder of tables and photos (default: ../shared/data where it is)",
        )
    if add is not None:
        add(parser)
    options = parser.parse_args()
    reads = data(options) if callable(data) else data and not getattr(options, "table", None)
    if reads and options.data is None:
        parser.error("there is no ../shared/data here; name a folder with --data")
    return options


@contextmanager
def photos(folder: Path) -> Iterator[Path]:
    """A folder with train, validation and test: `folder` itself, or what its clothing_small_80.tar.gz holds."""
    archive = folder / "clothing_small_80.tar.gz"
    if not archive.is_file():
        yield folder
        return
    with tempfile.TemporaryDirectory() as scratch:
        with tarfile.open(archive) as packed:
            packed.extractall(scratch, filter="data")
        yield next(Path(scratch).rglob("train")).parent


def mean_and_error(name: str, values: Sequence[float]) -> dict[str, float]:
    """Figures: the mean, and from two values on its standard error."""
    figures = {name: statistics.mean(values)}
    if len(values) > 1:
        figures[f"{name}_error"] = statistics.stdev(values) / math.sqrt(len(values))
    return figures


def report(figures: Mapping[str, float], rows: Sequence[Mapping[str, Any]], path: Path | None) -> None:
    """Print the figures; with a path, write them with the rows and the machine.

    Where the cores are contended, figures named `..._2_threads` are left out and every row is marked.
    """
    cores = contention.check()
    kept = {
        name: round(value, 3)
        for name, value in figures.items()
        if not (cores.contended and name.endswith("_2_threads"))
    }
    for name, value in kept.items():
        print(f"{name:36} {value:14,.3f}")
    if cores.contended:
        print(
            f"contended: both cores do {cores.speedup:.2f} times the work of one; no figures of two threads"
        )
    if path is not None:
        mark = {"contended": True} if cores.contended else {}
        speedup = None if cores.speedup is None else round(cores.speedup, 3)
        host = {**machine(), "both_cores_speedup": speedup}
        if cores.speedup is None:
            host["both_cores_why_not"] = cores.why_not
        document = {"figures": kept, "rows": [{**row, **mark} for row in rows], "machine": host}
        path.write_text(json.dumps(document, indent=1) + "\n")
