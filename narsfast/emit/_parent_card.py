"""What the card says of the parent of a network: where its first weights came from, and how much of them was kept."""

from __future__ import annotations

from narsfast.arch import KEPT_COLUMNS

from ._facts import Measurements
from ._markdown import as_code, as_text, table


def parent_paragraph(found: Measurements) -> str:
    """Return the paragraph on the pretrained network that a network inherited from; empty where it is none's child."""
    if found.parent is None:
        return ""
    facts, tuned = found.parent, ""
    if known := found.parent.get("tuned"):
        tuned = (
            f"\nBefore it inherited them, the parent was fine-tuned on the same data, at {known['resolution']} px for "
            f"{known['epochs']} epochs, to {known['validation']:.1f} % on validation."
        )
    return f"""Its training began with weights of the pretrained network {as_code(facts["name"])}
({as_text(facts["provenance"])}; license: {as_text(facts["license"] or "not stated")};
SHA-256 {as_code(facts["sha256"])}), whose license and training data apply to it too. Images are
normalized and resized as that network's were.{tuned}

"""


def kept_paragraph(found: Measurements) -> str:
    """Return how much of its parent a network has, stage by stage; empty where that is not known."""
    kept = found.kept
    if kept is None:
        return ""
    name = as_code(kept.parent)
    if not kept.parts:
        native = f", which was trained at {kept.resolution[1]} px" if kept.resolution[1] else ""
        return f"\n\nIt is its parent {name} as a whole, at {kept.resolution[0]} px{native}."
    if kept.as_it_is:
        return f"\n\nIt is its parent {name} as it is, at {kept.resolution[0]} of {kept.resolution[1]} px."
    return f"""

It has {100 * kept.share:.0f} % of the convolutions' weights of its parent {name}; of each stage:

{table(KEPT_COLUMNS, kept.rows())}"""
