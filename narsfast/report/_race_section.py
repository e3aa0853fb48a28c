"""The section on the races: who was trained for each budget, and how far."""

from __future__ import annotations

from pathlib import Path

from ._html import number, paragraph, table
from ._style import Data

ORIGINS = {"trial": "a trial of the search", "evolved": "found by evolution", "anchor": "known to work"}


def races(data: Data, drawn: set[str], folder: Path, page: Path) -> str:
    """Return the table of finalists; arguments as in `results`. Empty in runs without races."""
    if not data["races"]:
        return ""
    rows = [
        (
            row["budget"],
            f"{row['candidate']}{' (the network)' if row['chosen'] else ''}",
            ORIGINS[row["origin"]],
            f"{row['macs']:,}" if row["macs"] is not None else None,
            number(row["predicted"]),
            number(row["std"]),
            number(row["first"]),
            number(row["last"]) if row["outcome"] in ("ok", None) else row["outcome"].replace("_", " "),
        )
        for row in data["races"]
    ]
    epochs = max(row["epochs"] for row in data["races"])
    heads = (
        "budget",
        "candidate",
        "why it races",
        "MACs",
        "predicted (%)",
        "deviation",
        f"after {epochs} epochs (%)",
    )
    return table((*heads, "at the end (%)"), rows, numbers=range(3, 8), identifier="races") + paragraph(
        "All finalists began their full training with the schedule of all its epochs. The best one on validation, or "
        "the best two where the split cannot tell them apart, went on to the end, and the better of these is the "
        "budget's network. A training that another budget took to the end takes part.",
        soft=True,
    )
