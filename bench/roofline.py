"""The least time that a layer can take on this machine: by its multiply-adds, and by the bytes that it must move."""

from __future__ import annotations

import time
from functools import cache

import torch

_REPEATS = 7
_SIDE = 768  # of the matrices whose product stands for the rate of multiply-adds


def _least(run: object, repeats: int = _REPEATS) -> float:
    assert callable(run)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


@cache
def flops_per_second() -> float:
    """What sgemm reaches: two operations a multiply-add."""
    a, b = torch.randn(_SIDE, _SIDE), torch.randn(_SIDE, _SIDE)
    out = torch.empty(_SIDE, _SIDE)
    return 2 * _SIDE**3 / _least(lambda: torch.mm(a, b, out=out))


@cache
def bytes_per_second(footprint: int) -> float:
    """Read and written by a copy that touches `footprint` bytes in all, again and again."""
    source = torch.zeros(max(1, footprint // 8))
    target = torch.zeros_like(source)
    return 8 * source.numel() / _least(lambda: target.copy_(source), 30)


def bound(flops: float, moved: int) -> float:
    """Seconds: the larger of both limits. moved: input once, output once, weights once, in bytes."""
    return max(flops / flops_per_second(), moved / bytes_per_second(moved))
