"""Do two cores do twice the work of one? Where other programs take part of them, the speed of two threads is chance.

Two processes, each pinned to a core, multiply matrices in one thread: the first alone, the second alone, both together.
What a core does alone is counted by CPU time: a program that takes half of every core would halve both sides of the
ratio otherwise. Run with a core's number, this file is such a process.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

LEAST_SPEEDUP = 1.7  # of 2
_ROUNDS = 5
_WINDOW = 0.1  # seconds
_SIDE = 512


@dataclass(frozen=True)
class BothCores:
    """What two cores do together, over what one does.

    Attributes:
        speedup: Products a second of both together over the mean of one alone; None where it cannot be measured.
        why_not: Why it cannot.
    """

    speedup: float | None
    why_not: str = ""

    @property
    def contended(self) -> bool:
        """Whether other programs had a part of the cores."""
        return self.speedup is not None and self.speedup < LEAST_SPEEDUP


def check() -> BothCores:
    """Measure the first two cores that this process may use; about two seconds."""
    if not hasattr(os, "sched_setaffinity"):
        return BothCores(None, "this system pins no process to a core")
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        return BothCores(None, "one core")
    alone, together = rates(cores)
    return BothCores(together / statistics.mean(alone))


def rates(cores: Sequence[int]) -> tuple[list[float], float]:
    """Measure products a CPU second of each core alone, and a second of all together: medians over rounds, in turns."""
    alone: list[list[float]] = [[] for _ in cores]
    together = []
    with ExitStack() as stack:
        command = [sys.executable, __file__]
        workers = [
            stack.enter_context(
                subprocess.Popen(
                    [*command, str(core)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
            for core in cores
        ]
        _multiply(workers)  # started and warm
        for _ in range(_ROUNDS):
            for worker, found in zip(workers, alone, strict=True):
                found += [by_cpu for _, by_cpu in _multiply([worker])]
            together.append(sum(by_wall for by_wall, _ in _multiply(workers)))
    return [statistics.median(found) for found in alone], statistics.median(together)


def _multiply(workers: Sequence[subprocess.Popen[str]]) -> list[list[float]]:
    """Let them multiply at the same time; return of each the products a second and a CPU second."""
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    return [
        [float(rate) for rate in worker.stdout.readline().split()]
        for worker in workers
        if worker.stdout is not None
    ]


def _work(core: int) -> None:
    """Multiply for a while for every line read, and print products a second and a CPU second."""
    os.sched_setaffinity(0, {core})
    import numpy as np  # once pinned, so that BLAS starts one thread; torch would take two seconds to import

    matrix = np.ones((_SIDE, _SIDE), np.float32)
    out = np.empty_like(matrix)
    for _ in sys.stdin:
        products = 0
        start, used = time.perf_counter(), time.process_time()
        while time.perf_counter() - start < _WINDOW:
            np.matmul(matrix, matrix, out=out)
            products += 1
        wall, cpu = time.perf_counter() - start, time.process_time() - used
        print(products / wall, products / cpu, flush=True)


if __name__ == "__main__":
    _work(int(sys.argv[1]))
