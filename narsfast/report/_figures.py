"""The figures of the page, as plain Plotly figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ._confusion import confusion
from ._curves import cross_entropies, early_stop_choice, final_curves, final_losses, learning_curves
from ._html import amount
from ._style import DASHES, SYMBOLS, Data, Figure, batch_color, batch_name, plot, range_around, title

REGRESSORS = {
    "predictor": "predictor",
    "params": "parameters alone",
    "macs": "MACs alone",
    "ridge": "ridge regression",
    "random_forest": "random forest",
}
MAX_FIELDS = 15


def _batches(rows: Sequence[Data]) -> list[int]:
    return sorted({row["batch"] for row in rows})


def accuracy_against_macs(data: Data) -> Figure | None:
    """Plot accuracy against MACs of all trials and networks; None before the first trial with known MACs."""
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
                "marker": {"color": batch_color(batch), "symbol": SYMBOLS[batch % len(SYMBOLS)], "size": 8},
                "hovertemplate": "%{text}<br>%{x:.4s} MACs<br>%{y:.2f} %<extra></extra>",
            }
        )
    traces += _parents_as_they_are(rows)
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
    baselines = _tested_baselines(data)
    if baselines:
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "baselines, test",
                "x": [row["macs"] for row in baselines],
                "y": [row["test"] for row in baselines],
                "text": [row["model"] for row in baselines],
                "marker": {"color": "@text", "symbol": "x", "size": 11},
                "hovertemplate": "%{text}<br>%{x:.4s} MACs<br>%{y:.2f} %<extra></extra>",
            }
        )
    costs = [row["macs"] for row in [*rows, *data["results"], *baselines]]
    ticks = log_ticks(min(costs), max(costs))
    x = {
        "title": title("multiply-adds of one image (MACs)"),
        "type": "log",
        "tickmode": "array",
        "tickvals": ticks,
    }
    return plot(
        traces,
        x | {"ticktext": [amount(tick) for tick in ticks]},
        {"title": title("accuracy (%)"), "range": accuracy_range(data)},
    )


def _parents_as_they_are(rows: Sequence[Data]) -> list[dict[str, Any]]:
    """Mark the trials of the parents with all that they have, each with its name and the side of its images."""
    stock = [row for row in rows if row["kept"] and row["kept"]["as_it_is"]]
    if not stock:
        return []
    return [
        {
            "type": "scatter",
            "mode": "markers+text",
            "name": "parents as they are",
            "x": [row["macs"] for row in stock],
            "y": [row["label"] for row in stock],
            "text": [f"{row['kept']['parent']}, {row['kept']['resolution'][0]} px" for row in stock],
            "textposition": "top left",
            "textfont": {"color": "@text", "size": 11},
            "marker": {"color": "@text", "symbol": "diamond-open", "size": 15, "line": {"width": 2}},
            "hovertemplate": "%{text}<br>%{x:.4s} MACs<br>%{y:.2f} %<extra>parent as it is</extra>",
        }
    ]


def _tested_baselines(data: Data) -> list[Data]:
    return [row for row in data["baselines"] if row["test"] is not None]


def log_ticks(lowest: float, highest: float) -> list[float]:
    """Return round ticks of a logarithmic axis, of the coarsest series that has four between the ends."""
    decades = range(math.floor(math.log10(lowest)) - 1, math.ceil(math.log10(highest)) + 1)
    ticks: list[float] = []
    for series in ((1,), (1, 3), (1, 2, 5), (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)):
        ticks = [step * 10.0**decade for decade in decades for step in series]
        if sum(lowest <= tick <= highest for tick in ticks) >= 4:
            break
    return ticks


def accuracy_range(data: Data) -> list[float]:
    """Return a range in percent that covers all trials that ended well, results and baselines."""
    trials = [row for row in data["trials"] if row["label"] is not None and row["macs"]]
    well = [row["label"] for row in trials if row["outcome"] == "ok"]
    found = [result[kind] for result in data["results"] for kind in ("validation", "test")]
    found += [row["test"] for row in _tested_baselines(data)]
    values = [*(well or [row["label"] for row in trials]), *found]
    return range_around(values)


def predicted_against_measured(data: Data) -> Figure | None:
    """Plot the score of each trial against its label; None before the first scored trial."""
    rows = [row for row in data["trials"] if row["score"] is not None and row["label"] is not None]
    if not rows:
        return None
    x, y = (range_around([row[key] for row in rows]) for key in ("score", "label"))
    ends = [min(x[0], y[0]), max(x[1], y[1])]
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "equal",
            "x": ends,
            "y": ends,
            "line": {"color": "@gray", "dash": "dot", "width": 1},
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
                "marker": {"color": batch_color(batch), "symbol": SYMBOLS[batch % len(SYMBOLS)], "size": 9},
                "hovertemplate": "%{text}<br>predicted %{x:.2f} %<br>measured %{y:.2f} %<extra></extra>",
            }
        )
    return plot(
        traces,
        {"title": title("predicted accuracy, before training (%)"), "range": x},
        {"title": title("measured accuracy (%)"), "range": y},
    )


def means_of_batches(data: Data) -> Figure | None:
    """Plot the mean of each batch and of a random batch of its size; None before the first label."""
    means = data["batches"]
    if not means:
        return None
    picked = [mean for mean in means if mean["batch"] > 0]

    def bars(name: str, rows: Sequence[Data], *, mean: str, error: str, color: str) -> dict[str, Any]:
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
            "marker": {"color": color},
            "customdata": [row["trials"] for row in rows],
            "hovertemplate": "%{x}<br>mean of %{customdata} trials: %{y:.2f} %<extra>" + name + "</extra>",
        }

    name = "random batch of the same size"
    traces = [bars(name, means, mean="random_mean", error="random_error", color="@gray")]
    if picked:
        name = "picked by the predictor"
        traces.append(bars(name, picked, mean="mean", error="error", color="@c1"))
    known = [
        (row[mean], row[error] or 0.0) for row in means for mean, error in _MEANS if row[mean] is not None
    ]
    lowest = min(mean - error for mean, error in known)
    highest = max(mean + error for mean, error in known)
    margin = max(1.0, 0.25 * (highest - lowest))
    order = [batch_name(row["batch"]) for row in means]
    return plot(
        traces,
        {"title": title("batch"), "type": "category", "categoryorder": "array", "categoryarray": order},
        {
            "title": title("mean accuracy (%)"),
            "range": [max(0.0, lowest - margin), min(100.0, highest + margin)],
        },
        barmode="group",
        bargap=0.35 if len(means) > 1 else 0.75,
    )


_MEANS = (("mean", "error"), ("random_mean", "random_error"))


def importance(data: Data) -> Figure | None:
    """Plot the most important fields; None if importances are unknown."""
    found = data["importance"]
    if found is None:
        return None
    fields = found["fields"][:MAX_FIELDS][::-1]
    traces = []
    for part, color in (("architecture", "@c1"), ("recipe", "@c2")):
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
                "marker": {"color": color},
                "hovertemplate": "%{y}<br>%{x:.3f} points<extra></extra>",
            }
        )
    return plot(
        traces,
        {"title": title("increase of the error when shuffled (points)")},
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
    """Plot tau of the predictor and of simple regressors at each fit; None before the first fit."""
    fits = data["fits"]
    if not fits:
        return None
    names = list(dict.fromkeys([*REGRESSORS, *(name for fit in fits for name in fit["taus"])]))
    traces = []
    for index, name in enumerate(name for name in names if any(name in fit["taus"] for fit in fits)):
        is_predictor = name == "predictor"
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": REGRESSORS.get(name, name),
                "x": [fit["trials"] for fit in fits],
                "y": [fit["taus"].get(name) for fit in fits],
                "line": {
                    "color": "@accent" if is_predictor else f"@c{(index - 1) % 7 + 1}",
                    "width": 3 if is_predictor else 1.5,
                    "dash": "solid" if is_predictor else DASHES[1 + index % 3],
                },
                "marker": {"symbol": SYMBOLS[(index + 1) % len(SYMBOLS)], "size": 9},
                "hovertemplate": "%{x} trials: tau %{y:.3f}<extra>" + REGRESSORS.get(name, name) + "</extra>",
            }
        )
    return plot(
        traces,
        {
            "title": title("trials of the fit"),
            "tickmode": "array",
            "tickvals": [fit["trials"] for fit in fits],
        },
        {"title": title("Kendall tau, cross-validated")},
    )


FIGURES = {
    "macs": accuracy_against_macs,
    "confusion": confusion,
    "prediction": predicted_against_measured,
    "batches": means_of_batches,
    "curves": learning_curves,
    "early-stop": early_stop_choice,
    "losses": cross_entropies,
    "finals": final_curves,
    "final-losses": final_losses,
    "importance": importance,
    "fits": predictor_quality,
}
"""Figures by the id of their place on the page."""
