"""Timing for every benchmark: variants take turns, medians over the rounds, and the machine they ran on."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from narsfast import _native


@dataclass
class Work:
    """Something timed: `run` does it once and says how many candidates it handled."""

    name: str
    run: Callable[[], int]


def machine() -> dict[str, str | int | list[float]]:
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


def measure(work: Sequence[Work], repeats: int) -> list[dict[str, str | float]]:
    """Every repeat runs all of it once, so that a busy moment meets every method."""
    wall: list[list[float]] = [[] for _ in work]
    cpu: list[list[float]] = [[] for _ in work]
    for repeat in range(repeats + 1):
        for index, item in enumerate(work):
            started, used = time.perf_counter(), time.process_time()
            candidates = item.run()
            wall_rate = candidates / (time.perf_counter() - started)
            cpu_rate = candidates / max(time.process_time() - used, 1e-9)
            if repeat:  # the first warms up
                wall[index].append(wall_rate)
                cpu[index].append(cpu_rate)
    return [
        {"what": item.name, "wall_rate": statistics.median(w), "cpu_rate": statistics.median(c)}
        for item, w, c in zip(work, wall, cpu, strict=True)
    ]
