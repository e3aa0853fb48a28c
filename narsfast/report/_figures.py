"""The plots, as plain Plotly figures.

Colours are names (``@text``, ``@c1``, ...) that the page replaces by those of its light or dark theme. The
series colours are those of Okabe and Ito, told apart with any kind of colour vision; symbols and dashes say
the same again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ._html import amount

Figure = dict[str, Any]
Data = Mapping[str, Any]

SYMBOLS = ("circle-open", "circle", "diamond", "square", "triangle-up", "cross", "star", "hexagon")
DASHES = ("solid", "dash", "dot", "dashdot")
BASELINES = {
    "predictor": "predictor",
    "params": "parameters alone",
    "macs": "MACs alone",
    "ridge": "ridge regression",
    "random_forest": "random forest",
}
MOST_FIELDS = 15


def batch_name(index: int) -> str:
    """Return what a batch is called on the page."""
    return "batch 1 (random)" if index == 0 else f"batch {index + 1}"


def _colour(index: int) -> str:
    """Return the colour of a batch; the random one is grey."""
    return "@grey" if index == 0 else f"@c{(index - 1) % 7 + 1}"


def _figure(
    traces: list[dict[str, Any]], x: Mapping[str, Any], y: Mapping[str, Any], **layout: Any
) -> Figure:
    return {"data": traces, "layout": {"xaxis": dict(x), "yaxis": dict(y), **layout}}


def _title(text: str) -> dict[str, str]:
    return {"text": text}


def _batches(rows: Sequence[Data]) -> list[int]:
    return sorted({row["batch"] for row in rows})


def accuracy_against_macs(data: Data) -> Figure | None:
    """Show all trials, and what the final networks reached; None before a trial with known MACs."""
    rows = [row for row in data["trials"] if row["macs"] and row["label"] is not None]
    if not rows and not data["results"]:
        return None
    traces: list[dict[str, Any]] = []
    for batch in _batches(rows):
        part = [row for row in rows if row["batch"] == batch]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": f"trials, {batch_name(batch)}",
                "x": [row["macs"] for row in part],
                "y": [row["label"] for row in part],
                "text": [f"{row['candidate']}<br>{row['outcome']}" for row in part],
                "marker": {"color": _colour(batch), "symbol": SYMBOLS[batch % len(SYMBOLS)], "size": 8},
                "hovertemplate": "%{text}<br>%{x:.4s} MACs<br>%{y:.2f} %<extra></extra>",
            }
        )
    for kind, symbol, dash in (("validation", "star-open", "dot"), ("test", "star", "solid")):
        found = [result for result in data["results"] if result[kind] is not None]
        if found:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "name": f"found networks, {kind}",
                    "x": [result["macs"] for result in found],
                    "y": [result[kind] for result in found],
                    "text": [f"{result['budget']}<br>{result['candidate']}" for result in found],
                    "line": {"color": "@accent", "dash": dash, "width": 2},
                    "marker": {"color": "@accent", "symbol": symbol, "size": 13},
                    "hovertemplate": "%{text}<br>%{x:.4s} MACs<br>%{y:.2f} %<extra></extra>",
                }
            )
    costs = [row["macs"] for row in [*rows, *data["results"]]]
    ticks = log_ticks(min(costs), max(costs))
    x = {
        "title": _title("multiply-adds of one image (MACs)"),
        "type": "log",
        "tickmode": "array",
        "tickvals": ticks,
    }
    return _figure(
        traces,
        x | {"ticktext": [amount(tick) for tick in ticks]},
        {"title": _title("accuracy (%)"), "range": accuracy_range(data)},
    )


def log_ticks(lowest: float, highest: float) -> list[float]:
    """Return round numbers on a logarithmic axis: the coarsest series that puts four between the ends."""
    decades = range(math.floor(math.log10(lowest)) - 1, math.ceil(math.log10(highest)) + 1)
    ticks: list[float] = []
    for series in ((1,), (1, 3), (1, 2, 5), (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)):
        ticks = [step * 10.0**decade for decade in decades for step in series]
        if sum(lowest <= tick <= highest for tick in ticks) >= 4:
            break
    return ticks


def accuracy_range(data: Data) -> list[float]:
    """Return a range of accuracies in percent that holds every trial that ended well, and every result."""
    trials = [row for row in data["trials"] if row["label"] is not None and row["macs"]]
    well = [row["label"] for row in trials if row["outcome"] == "ok"]
    found = [result[kind] for result in data["results"] for kind in ("validation", "test")]
    values = [*(well or [row["label"] for row in trials]), *found]
    margin = max(1.0, 0.06 * (max(values) - min(values)))
    return [max(0.0, min(values) - margin), min(101.0, max(values) + margin)]


def predicted_against_measured(data: Data) -> Figure | None:
    """Show the score that picked each trial against its label; None before a scored trial ended."""
    rows = [row for row in data["trials"] if row["score"] is not None and row["label"] is not None]
    if not rows:
        return None
    values = [value for row in rows for value in (row["score"], row["label"])]
    ends = [min(values), max(values)]
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "equal",
            "x": ends,
            "y": ends,
            "line": {"color": "@grey", "dash": "dot", "width": 1},
            "hoverinfo": "skip",
        }
    ]
    for batch in _batches(rows):
        part = [row for row in rows if row["batch"] == batch]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": batch_name(batch),
                "x": [row["score"] for row in part],
                "y": [row["label"] for row in part],
                "text": [row["candidate"] for row in part],
                "marker": {"color": _colour(batch), "symbol": SYMBOLS[batch % len(SYMBOLS)], "size": 9},
                "hovertemplate": "%{text}<br>predicted %{x:.2f} %<br>measured %{y:.2f} %<extra></extra>",
            }
        )
    return _figure(
        traces,
        {"title": _title("predicted accuracy, before training (%)")},
        {"title": _title("measured accuracy (%)")},
    )


def means_of_batches(data: Data) -> Figure | None:
    """Show the mean of each batch beside that of a random batch of its size; None before any label."""
    means = data["batches"]
    if not means:
        return None
    picked = [mean for mean in means if mean["batch"] > 0]

    def bars(name: str, rows: Sequence[Data], *, mean: str, error: str, colour: str) -> dict[str, Any]:
        return {
            "type": "bar",
            "name": name,
            "x": [batch_name(row["batch"]) for row in rows],
            "y": [row[mean] for row in rows],
            "error_y": {
                "type": "data",
                "array": [row[error] or 0 for row in rows],
                "color": "@text",
                "thickness": 1.5,
            },
            "marker": {"color": colour},
            "customdata": [row["trials"] for row in rows],
            "hovertemplate": "%{x}<br>mean of %{customdata} trials: %{y:.2f} %<extra>" + name + "</extra>",
        }

    name = "random batch of the same size"
    traces = [bars(name, means, mean="random_mean", error="random_error", colour="@grey")]
    if picked:
        name = "picked by the predictor"
        traces.append(bars(name, picked, mean="mean", error="error", colour="@c1"))
    known = [
        (row[mean], row[error] or 0.0) for row in means for mean, error in _MEANS if row[mean] is not None
    ]
    lowest = min(mean - error for mean, error in known)
    highest = max(mean + error for mean, error in known)
    margin = max(1.0, 0.25 * (highest - lowest))
    order = [batch_name(row["batch"]) for row in means]
    return _figure(
        traces,
        {"title": _title("batch"), "type": "category", "categoryorder": "array", "categoryarray": order},
        {
            "title": _title("mean accuracy (%)"),
            "range": [max(0.0, lowest - margin), min(100.0, highest + margin)],
        },
        barmode="group",
        bargap=0.35 if len(means) > 1 else 0.75,
    )


_MEANS = (("mean", "error"), ("random_mean", "random_error"))


def _curve(row: Data, name: str, *, group: int, colour: str, dash: str, show: bool) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines" if len(row["curve"]) > 1 else "markers",
        "name": name,
        "legendgroup": str(group),
        "showlegend": show,
        "x": list(range(1, len(row["curve"]) + 1)),
        "y": row["curve"],
        "line": {"color": colour, "dash": dash, "width": 1.5},
        "marker": {"color": colour, "size": 6},
        "opacity": 0.85,
        "hovertemplate": f"{row['candidate']}<br>epoch %{{x}}: %{{y:.2f}} %<extra></extra>",
    }


def learning_curves(data: Data) -> Figure | None:
    """Show the curve of every trial, with the early-stop epoch; None before any trial."""
    rows = [row for row in data["trials"] if row["curve"]]
    if not rows:
        return None
    traces, shown = [], set()
    for row in rows:
        batch = row["batch"]
        style = {"group": batch, "colour": _colour(batch), "dash": DASHES[batch % len(DASHES)]}
        traces.append(_curve(row, batch_name(batch), **style, show=batch not in shown))
        shown.add(batch)
    layout: dict[str, Any] = {}
    if data["early_stop_epoch"] is not None:
        layout = {
            "shapes": [_vertical(data["early_stop_epoch"])],
            "annotations": [_note(data["early_stop_epoch"])],
        }
    return _figure(
        traces,
        {"title": _title("epoch"), "rangemode": "tozero", "tickformat": "d"},
        {"title": _title("validation accuracy (%)")},
        **layout,
    )


def _vertical(epoch: int) -> dict[str, Any]:
    line = {"color": "@accent", "width": 2, "dash": "dash"}
    return {"type": "line", "x0": epoch, "x1": epoch, "y0": 0, "y1": 1, "yref": "paper", "line": line}


def _note(epoch: int) -> dict[str, Any]:
    return {
        "x": epoch,
        "y": 1,
        "yref": "paper",
        "yanchor": "top",
        "xanchor": "left",
        "xshift": 4,
        "text": f"early-stop epoch {epoch}",
        "showarrow": False,
        "font": {"color": "@accent"},
    }


def early_stop_choice(data: Data) -> Figure | None:
    """Show how well each epoch ranks the first batch; None with too few curves."""
    values = data["early_stopping"]
    if not values:
        return None
    layout: dict[str, Any] = {"shapes": []}
    threshold = data["config"].get("threshold")
    if threshold is not None:
        line = {"color": "@grey", "width": 1.5, "dash": "dot"}
        layout["shapes"].append(
            {
                "type": "line",
                "x0": 0,
                "x1": 1,
                "xref": "paper",
                "y0": threshold,
                "y1": threshold,
                "line": line,
            }
        )
    if data["early_stop_epoch"] is not None:
        layout["shapes"].append(_vertical(data["early_stop_epoch"]))
        layout["annotations"] = [_note(data["early_stop_epoch"])]
    trace = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": "first batch",
        "x": list(range(1, len(values) + 1)),
        "y": values,
        "line": {"color": "@c1", "width": 2},
        "marker": {"color": "@c1", "size": 8},
        "hovertemplate": "epoch %{x}: %{y:.3f}<extra></extra>",
    }
    name = "Kendall" if data["config"].get("correlation") == "kendall" else "Spearman"
    return _figure(
        [trace],
        {"title": _title("epoch"), "rangemode": "tozero", "tickformat": "d"},
        {"title": _title(f"rank correlation ({name})")},
        showlegend=False,
        **layout,
    )


def final_curves(data: Data) -> Figure | None:
    """Show the curves of the final trainings; None before any."""
    finals = [row for row in data["finals"] if row["curve"]]
    if not finals:
        return None
    budgets = {result["candidate"]: result["budget"] for result in data["results"]}
    traces = [
        _curve(
            row,
            budgets.get(row["candidate"], row["candidate"]),
            group=i,
            colour=f"@c{i % 7 + 1}",
            dash=DASHES[i % 4],
            show=True,
        )
        for i, row in enumerate(finals)
    ]
    return _figure(
        traces,
        {"title": _title("epoch"), "rangemode": "tozero", "tickformat": "d"},
        {"title": _title("validation accuracy (%)")},
    )


def importance(data: Data) -> Figure | None:
    """Show the most important fields; None where they are unknown."""
    found = data["importance"]
    if found is None:
        return None
    fields = found["fields"][:MOST_FIELDS][::-1]
    traces = []
    for part, colour in (("architecture", "@c1"), ("recipe", "@c2")):
        rows = [field for field in fields if field["part"] == part]
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": part,
                "x": [row["importance"] for row in rows],
                "y": [row["name"] for row in rows],
                "error_x": {
                    "type": "data",
                    "array": [row["deviation"] for row in rows],
                    "color": "@text",
                    "thickness": 1,
                },
                "marker": {"color": colour},
                "hovertemplate": "%{y}<br>%{x:.3f} points<extra></extra>",
            }
        )
    return _figure(
        traces,
        {"title": _title("growth of the error when shuffled (points)")},
        {
            "type": "category",
            "categoryorder": "array",
            "categoryarray": [row["name"] for row in fields],
            "automargin": True,
        },
        height=160 + 26 * len(fields),
        bargap=0.35,
    )


def predictor_quality(data: Data) -> Figure | None:
    """Show the cross-validated tau of the predictor and the baselines at each fit; None before any."""
    fits = data["fits"]
    if not fits:
        return None
    names = list(dict.fromkeys([*BASELINES, *(name for fit in fits for name in fit["taus"])]))
    traces = []
    for index, name in enumerate(name for name in names if any(name in fit["taus"] for fit in fits)):
        own = name == "predictor"
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": BASELINES.get(name, name),
                "x": [fit["trials"] for fit in fits],
                "y": [fit["taus"].get(name) for fit in fits],
                "line": {
                    "color": "@accent" if own else f"@c{(index - 1) % 7 + 1}",
                    "width": 3 if own else 1.5,
                    "dash": "solid" if own else DASHES[1 + index % 3],
                },
                "marker": {"symbol": SYMBOLS[(index + 1) % len(SYMBOLS)], "size": 9},
                "hovertemplate": "%{x} trials: tau %{y:.3f}<extra>" + BASELINES.get(name, name) + "</extra>",
            }
        )
    return _figure(
        traces,
        {
            "title": _title("trials the fit knew"),
            "tickmode": "array",
            "tickvals": [fit["trials"] for fit in fits],
        },
        {"title": _title("Kendall tau, cross-validated")},
    )


FIGURES = {
    "macs": accuracy_against_macs,
    "prediction": predicted_against_measured,
    "batches": means_of_batches,
    "curves": learning_curves,
    "early-stop": early_stop_choice,
    "finals": final_curves,
    "importance": importance,
    "fits": predictor_quality,
}
"""Figures by the id of their place on the page."""
