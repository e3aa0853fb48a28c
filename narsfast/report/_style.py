"""The common style of all figures.

Colors are names (``@text``, ``@c1``, ...) that the page replaces by those of its light or dark theme. The colors of
series are those of Okabe and Ito, which can be distinguished with any kind of color vision; symbols and dashes repeat
the distinction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Figure = dict[str, Any]
Data = Mapping[str, Any]
SYMBOLS = ("circle-open", "circle", "diamond", "square", "triangle-up", "cross", "star", "hexagon")
DASHES = ("solid", "dash", "dot", "dashdot")


def batch_name(index: int) -> str:
    """Return the name of a batch on the page."""
    return "batch 1 (random)" if index == 0 else f"batch {index + 1}"


def batch_color(index: int) -> str:
    """Return the color of a batch; the random one is gray."""
    return "@gray" if index == 0 else f"@c{(index - 1) % 7 + 1}"


def plot(traces: list[dict[str, Any]], x: Mapping[str, Any], y: Mapping[str, Any], **layout: Any) -> Figure:
    """Return a figure of traces with two axes and the given layout."""
    return {"data": traces, "layout": {"xaxis": dict(x), "yaxis": dict(y), **layout}}


def title(text: str) -> dict[str, str]:
    """Return the title of an axis."""
    return {"text": text}


def range_around(values: Sequence[float]) -> list[float]:
    """Return a range in percent with a margin on both sides of `values`."""
    margin = max(1.0, 0.06 * (max(values) - min(values)))
    return [max(0.0, min(values) - margin), min(101.0, max(values) + margin)]
