"""The part of a model card on how the network answers by class, and the same for emission.json."""

from __future__ import annotations

from typing import Any

from narsfast.runs import ClassResults

from ._contact_sheet import SHEET_FILE
from ._markdown import as_text, table

WORST = 20
"""Classes in the card's table, those of the lowest accuracy (this project's choice)."""

CONFUSED = 20
"""Confusions in emission.json, the most frequent ones (this project's choice)."""


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} %"


def class_section(results: ClassResults | None, sheet: bool) -> str:
    """Write the section; empty where it is not known.

    Args:
        results: Of the test split.
        sheet: Whether there is a picture of the confused images.
    """
    if results is None:
        return ""
    worst, names = results.worst(), [counts.name for counts in results.classes]
    head = (
        f"The {WORST} of {len(worst)} classes that are recognized worst"
        if len(worst) > WORST
        else "Every class, those that are recognized worst first"
    )
    rows = [
        (
            as_text(own.name),
            str(own.images),
            _percent(own.accuracy),
            str(own.answered),
            _percent(own.precision),
        )
        for own in worst[:WORST]
    ]
    text = f"""## By class

{head}, on the test split:

{table(("class", "images", "recognized", "answered", "of these right"), rows)}

"""
    pairs = [confusion for confusion in results.confusions if confusion.examples]
    if pairs and sheet:
        lines = [
            (str(number), as_text(names[pair.label]), as_text(names[pair.answer]), str(pair.images))
            for number, pair in enumerate(pairs, 1)
        ]
        text += f"""The classes that are confused most often; the picture has images of each row, the most confident
answers first:

{table(("row", "class", "taken for", "images"), lines)}

![images of the test split with a wrong answer]({SHEET_FILE})

"""
    return text


def class_json(results: ClassResults | None) -> dict[str, Any]:
    """Return the entries of emission.json; none where it is not known."""
    if results is None:
        return {}
    names = [counts.name for counts in results.classes]
    return {
        "balanced_accuracy": results.balanced_accuracy,
        "by_class": [
            {
                "class": own.name,
                "images": own.images,
                "correct": own.correct,
                "answered": own.answered,
                "accuracy": own.accuracy,
                "precision": own.precision,
            }
            for own in results.classes
        ],
        "confusions": [
            {"class": names[pair.label], "answer": names[pair.answer], "images": pair.images}
            for pair in results.confusions[:CONFUSED]
        ],
    }
