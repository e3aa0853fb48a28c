"""What every benchmark shares: options, data, timing in turns, medians over the rounds, and the report."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from bench import DATA_VARIABLE, contention
from narsfast import _native

PHOTOS = "clothing_small_80.tar.gz"
HOW_TO_NAME_DATA = f"name its folder with --data or the environment variable {DATA_VARIABLE}"


def machine() -> dict[str, Any]:
    """Describe this machine and what runs on it."""
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
    """Return the median seconds of each call over the rounds."""
    times = all_rounds(calls, rounds, at_least)
    return {name: statistics.median(values) for name, values in times.items()}


def all_rounds(
    calls: Mapping[str, Callable[[], Any]], rounds: int, at_least: float = 2e-3, warm: bool = False
) -> dict[str, list[float]]:
    """Return the seconds of each call in every round, in which each has its turn.

    Args:
        calls: The variants by name.
        rounds: How many turns each has.
        at_least: A shorter call is repeated within its turn until it takes about so many seconds.
        warm: Run a call once more before each of its turns, so that all find in the caches what they left there, the
            long ones as well as the short ones.
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


def run_python(code: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter that finds modules where this one does.

    Args:
        code: Python.
        arguments: Of the interpreter's command line.
        options: Of `subprocess.run`.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    start = f"import sys; sys.path[:] = {sys.path!r}; {code}"
    return subprocess.run([sys.executable, "-c", start, *arguments], text=True, check=True, **options)


def peak_memory() -> int:
    """Return the largest resident size of this process so far, KiB.

    That of `resource.getrusage` is never below the size of the process that started this one.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def arguments(
    description: str | None,
    data: bool | Callable[[argparse.Namespace], bool] = False,
    add: Callable[[argparse.ArgumentParser], None] | None = None,
) -> argparse.Namespace:
    """Parse the command line of a benchmark.

    Args:
        description: Its docstring.
        data: Whether it reads data and so has the option ``--data``; of one that reads none in some cases, a function
            of the options. None is needed where ``dataset`` is given: its files may lie beside the description.
        add: Adds further options to ``--quick`` and ``--json``.

    Raises:
        SystemExit: The options are wrong, or data is needed and not named.
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
            metavar="FOLDER",
            help=f"of photos and tabular benchmarks (default: what {DATA_VARIABLE} names)",
        )
    if add is not None:
        add(parser)
    options = parser.parse_args()
    if data:
        needed = data(options) if callable(data) else not getattr(options, "dataset", None)
        options.data = data_folder(options.data, needed)
    return options


def data_folder(named: Path | None, needed: bool = True) -> Path | None:
    """Return the folder that is named, or else the one that the environment names.

    Raises:
        SystemExit: What is named is not a folder, or nothing is named and `needed`.
    """
    folder = named or (Path(os.environ[DATA_VARIABLE]) if os.environ.get(DATA_VARIABLE) else None)
    if folder is None and needed:
        raise SystemExit(f"this benchmark reads data that narsfast does not bring; {HOW_TO_NAME_DATA}")
    if folder is not None and not folder.is_dir():
        raise SystemExit(f"the data is {str(folder)!r}, which is not a folder; {HOW_TO_NAME_DATA}")
    return folder


@contextmanager
def photos(folder: Path) -> Iterator[Path]:
    """Give a folder with train, validation and test: `folder` itself, or what its `PHOTOS` holds.

    Raises:
        SystemExit: It is neither.
    """
    archive = folder / PHOTOS
    if (folder / "train").is_dir():
        yield folder
    elif archive.is_file():
        with tempfile.TemporaryDirectory() as scratch:
            with tarfile.open(archive) as packed:
                packed.extractall(scratch, filter="data")
            yield next(Path(scratch).rglob("train")).parent
    else:
        raise SystemExit(
            f"the data is {str(folder)!r}, which has neither photos in a folder train nor {PHOTOS}; {HOW_TO_NAME_DATA}"
        )


def mean_and_error(name: str, values: Sequence[float]) -> dict[str, float]:
    """Return two figures: the mean and, from two values on, its standard error."""
    figures = {name: statistics.mean(values)}
    if len(values) > 1:
        figures[f"{name}_error"] = statistics.stdev(values) / math.sqrt(len(values))
    return figures


def report(figures: Mapping[str, float], rows: Sequence[Mapping[str, Any]], path: Path | None) -> None:
    """Print the figures; with a path, write them there with the rows and the machine.

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
