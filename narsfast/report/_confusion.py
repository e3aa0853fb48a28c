"""The confusion matrix of the found networks as a heatmap."""

from __future__ import annotations

from typing import Any

from ._style import Data, Figure, plot, title

MOST_CLASSES = 50
"""Above, names and cells of a heatmap are too small to read (this project's choice)."""

_LETTERS = 24  # of a class name on an axis
_COUNTS = 15  # classes up to which the cells have room for their counts


def network_name(row: Data) -> str:
    """Return the name of a tested network on the page."""
    return ", ".join(row["budgets"])


def confusion(data: Data) -> Figure | None:
    """Plot the matrix of one network, with a menu where there are several; None without one or with many classes."""
    rows = data["by_class"]
    if not rows or len(rows[0]["classes"]) > MOST_CLASSES:
        return None
    names = [own["name"] for own in rows[0]["classes"]]
    traces = [trace for row in rows for trace in _traces(row, names, visible=row is rows[0])]
    ticks = {
        "tickmode": "array",
        "tickvals": list(range(len(names))),
        "ticktext": [name if len(name) <= _LETTERS else f"{name[:_LETTERS]}..." for name in names],
        "showgrid": False,
        "zeroline": False,
    }
    menu = [
        {
            "label": network_name(row),
            "method": "restyle",
            "args": ["visible", [place // 2 == index for place in range(len(traces))]],
        }
        for index, row in enumerate(rows)
    ]
    layout: dict[str, Any] = {"showlegend": False, "height": 200 + 22 * len(names)}
    if len(rows) > 1:
        place = {"x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"}
        layout["updatemenus"] = [{"buttons": menu, "bgcolor": "@paper", "bordercolor": "@grid", **place}]
    return plot(
        traces,
        {"title": title("answer of the network"), **ticks},
        {"title": title("class of the image"), "autorange": "reversed", **ticks},
        **layout,
    )


def _traces(row: Data, names: list[str], *, visible: bool) -> list[dict[str, Any]]:
    """Return the wrong answers, and the right ones in a color of their own, in percent of the images of each class."""
    classes = row["classes"]
    wrong: list[list[float | None]] = [[None] * len(names) for _ in names]
    right: list[list[float | None]] = [[None] * len(names) for _ in names]
    texts = [[""] * len(names) for _ in names]
    for index, own in enumerate(classes):
        right[index][index] = own["accuracy"]
        texts[index][index] = str(own["correct"])
    for pair in row["confusions"]:
        images = classes[pair["label"]]["images"]
        wrong[pair["label"]][pair["answer"]] = 100 * pair["images"] / images
        texts[pair["label"]][pair["answer"]] = str(pair["images"])
    common = {
        "type": "heatmap",
        "text": texts,
        "customdata": [[[one, other] for other in names] for one in names],
        "hovertemplate": "%{customdata[0]}, answer %{customdata[1]}: %{text} images, %{z:.1f} %<extra></extra>",
        "hoverongaps": False,
        "xgap": 1,
        "ygap": 1,
        "zmin": 0,
        "visible": visible,
    }
    if len(names) <= _COUNTS:
        common["texttemplate"] = "%{text}"
    largest = max((value for line in wrong for value in line if value is not None), default=1.0)
    bar = {"title": {"text": "wrong (%)"}, "thickness": 12}
    return [
        {
            **common,
            "z": wrong,
            "zmax": largest,
            "colorscale": [[0, "@paper"], [1, "@accent"]],
            "colorbar": bar,
        },
        {**common, "z": right, "zmax": 100, "colorscale": [[0, "@paper"], [1, "@c1"]], "showscale": False},
    ]
