"""The section on how the found networks answer by class."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from ._confusion import MOST_CLASSES, network_name
from ._html import Markup, figure, missing, number, paragraph, table
from ._style import Data

_WORST = 20  # classes in the table (this project's choice)
_PAIRS = 8  # confusions in the table of a network without images (this project's choice)


def by_class(data: Data, drawn: set[str], folder: Path, page: Path) -> str:
    """Return the section: the matrix, the classes that are recognized worst, and confused images of each network."""
    rows = data["by_class"]
    if not rows:
        return missing(
            "The networks of this run were tested by a version that did not count by class."
            if data["results"]
            else "No network has been tested yet."
        )
    classes = len(rows[0]["classes"])
    figures = [f"{network_name(row)} {number(row['balanced_accuracy'], 2, ' %')}" for row in rows]
    parts = [
        paragraph(
            "The answers to the test split, from the one test of each network. Balanced accuracy is the mean of the "
            "accuracies of the classes: each counts the same, however many images it has. It is "
            f"{'; '.join(figures)}." + _unknown(data)
        )
    ]
    if "confusion" in drawn:
        parts.append(figure("confusion", "Images by class and answer of the network"))
    else:
        parts.append(paragraph(f"The matrix of {classes} classes is not drawn; {MOST_CLASSES} can be read."))
    parts.append(_worst(rows, classes))
    parts += [_confused(row, first=row is rows[0]) for row in rows]
    return "".join(parts)


def _unknown(data: Data) -> str:
    """Name the budgets whose network was tested before answers were counted by class."""
    known = {row["candidate"] for row in data["by_class"]}
    budgets = [result["budget"] for result in data["results"] if result["candidate"] not in known]
    return f" Of {', '.join(budgets)} it is not known, as an earlier version tested it." if budgets else ""


def _worst(rows: Sequence[Data], classes: int) -> str:
    """Return the table of the classes with the lowest accuracies, means over the networks."""
    tested = [index for index in range(classes) if rows[0]["classes"][index]["images"]]
    order = sorted(tested, key=lambda index: sum(row["classes"][index]["accuracy"] for row in rows))
    head = f"The {_WORST} classes recognized worst" if len(tested) > _WORST else "Accuracy of each class"
    lines = [
        (
            rows[0]["classes"][index]["name"],
            f"{rows[0]['classes'][index]['images']:,}",
            *(number(row["classes"][index]["accuracy"], 1) for row in rows),
        )
        for index in order[:_WORST]
    ]
    titles = ("class", "images", *(f"{network_name(row)} (%)" for row in rows))
    return f"<h3>{head}</h3>" + table(titles, lines, numbers=range(1, 2 + len(rows)), identifier="classes")


def _confused(row: Data, *, first: bool) -> str:
    """Return the most frequent confusions of a network with some of their images."""
    if not row["confusions"]:
        return paragraph(f"{network_name(row)}: no image of the test split was given a wrong class.")
    names = [own["name"] for own in row["classes"]]
    shown = row["confusions"][: len(row["examples"]) or _PAIRS]
    lines = [
        (
            names[pair["label"]],
            names[pair["answer"]],
            f"{pair['images']:,}",
            Markup("".join(map(_photo, row["examples"][place]))) if row["examples"] else None,
        )
        for place, pair in enumerate(shown)
    ]
    content = table(
        ("class", "taken for", "images", "the most confident answers"),
        lines,
        numbers=(2,),
        identifier=f"confused-{row['candidate']}",
    )
    name = escape(network_name(row))
    return f"<details{' open' if first else ''}><summary>Confused by {name}</summary>{content}</details>"


def _photo(image: Data) -> str:
    file = f"{image['file']}: " if image["file"] else ""
    said = escape(f"{file}{image['confidence']:.0f} % sure of the wrong class")
    return f'<img class="photo" src="{escape(image["uri"])}" alt="{said}" title="{said}" loading="lazy">'
