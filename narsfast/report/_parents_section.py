"""The section on parents: which pretrained networks the candidates came from, and how much of them was kept."""

from __future__ import annotations

from html import escape
from pathlib import Path

from narsfast.arch import KEPT_COLUMNS, Kept

from ._html import amount, code, number, paragraph, table
from ._style import Data


def parents(data: Data, drawn: set[str], folder: Path, page: Path) -> str:
    """Return the section on the parents of a run's candidates; empty where they have none."""
    if not data["parents"]:
        return ""
    parts = [
        paragraph(
            "Every training began with weights of one of these networks. Trials are compared at epoch "
            f"{data['label_epoch']}; a parent as it is has all its blocks and channels, at any resolution. "
            "A tuned one was fine-tuned before, as it is, and its children began with what it had learned."
        ),
        table(
            (
                "parent",
                "reference",
                "shrinks",
                "trials",
                "best (%)",
                "tuned (%)",
                "as it is (%)",
                "SHA-256 of the weights",
            ),
            [_parent(data, parent) for parent in data["parents"]],
            numbers=range(3, 6),
            identifier="parents",
        ),
    ]
    for index, result in enumerate(data["results"]):
        if result["kept"]:
            parts.append(f"<h3>{escape(result['budget'])}</h3>{_kept(result['kept'], index)}")
    return "".join(parts)


def _parent(data: Data, parent: Data) -> tuple[object, ...]:
    own = [row for row in data["trials"] if row["kept"] and row["kept"]["parent"] == parent["name"]]
    labels = [row["label"] for row in own if row["label"] is not None]
    stock = [
        f"{number(row['label'])} at {row['kept']['resolution'][0]} px, {amount(row['macs'])} MACs"
        for row in own
        if row["kept"]["as_it_is"] and row["label"] is not None
    ]
    return (
        parent["name"],
        code(parent["reference"]),
        "yes" if "definition" in parent else "no, it takes part whole",
        len(own),
        number(max(labels, default=None)),
        number(parent["tuned"]),
        "; ".join(stock) or None,
        code(parent["sha256"][:12]) if "sha256" in parent else None,
    )


def _kept(described: Data, index: int) -> str:
    """Return what a found network has of its parent."""
    kept = Kept.from_dict(described)
    if not kept.parts or kept.as_it_is:
        return paragraph(f"The parent {kept.text()}.")
    return paragraph(
        f"{100 * kept.share:.0f} % of the convolutions' weights of {kept.parent}; of each stage:"
    ) + table(KEPT_COLUMNS, kept.rows(), identifier=f"kept-{index}")
