"""The least time that work can take on this machine: by its multiply-adds, and by the bytes that it must move.

The probes of both rates take turns with the work itself, so that a bound and the times beside it are of the same
minutes: on a machine that others use, rates of quiet moments would hold for none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch

_SIDE = 768
"""Of the matrices whose product stands for the rate of multiply-adds."""
COPY, PRODUCT = "copy", "product"


@cache
def _product() -> Callable[[], Any]:
    a, b = torch.randn(_SIDE, _SIDE), torch.randn(_SIDE, _SIDE)
    out = torch.empty(_SIDE, _SIDE)
    return lambda: torch.mm(a, b, out=out)


def _elements(moved: int) -> int:
    return max(1, moved // 8)  # each is read and written


def probes(moved: int) -> dict[str, Callable[[], Any]]:
    """Return what takes turns with work that must move so many bytes.

    A copy touches as many, again and again, so that it meets the same caches; and a product of matrices.
    """
    source = torch.zeros(_elements(moved))
    target = torch.zeros_like(source)
    # The copy last: the product leaves nothing else in the caches.
    return {PRODUCT: _product(), COPY: lambda: target.copy_(source)}


def bound(seconds: Mapping[str, float], flops: float, moved: int) -> float:
    """Return the larger of both limits, in seconds.

    Args:
        seconds: Of the probes.
        flops: Operations, two per multiply-add.
        moved: Bytes of input, output and weights once each.
    """
    by_product = flops * seconds[PRODUCT] / (2 * _SIDE**3)
    return max(by_product, seconds[COPY] * moved / (8 * _elements(moved)))
