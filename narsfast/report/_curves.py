"""Plots over epochs: learning curves, and how the early-stop epoch was chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ._style import DASHES, Data, Figure, batch_color, batch_name, plot, title


def _curve(
    row: Data, name: str, *, group: int, color: str, dash: str, show: bool, metric: str = "curve"
) -> dict[str, Any]:
    values = row[metric]
    unit = " %" if metric == "curve" else ""
    return {
        "type": "scatter",
        "mode": "lines" if len(values) > 1 else "markers",
        "name": name,
        "legendgroup": str(group),
        "showlegend": show,
        "x": list(range(1, len(values) + 1)),
        "y": values,
        "line": {"color": color, "dash": dash, "width": 1.5},
        "marker": {"color": color, "size": 6},
        "opacity": 0.85,
        "hovertemplate": f"{row['candidate']}<br>epoch %{{x}}: %{{y:.2f}}{unit}<extra></extra>",
    }


def learning_curves(data: Data) -> Figure | None:
    """Plot the curve of every trial and the early-stop epoch; None before the first trial."""
    rows = [row for row in data["trials"] if row["curve"]]
    if not rows:
        return None
    layout: dict[str, Any] = {}
    if data["early_stop_epoch"] is not None:
        layout = {
            "shapes": [_vertical_line(data["early_stop_epoch"])],
            "annotations": [_epoch_label(data["early_stop_epoch"])],
        }
    return plot(
        _of_batches(rows, "curve"),
        _epoch_axis(max(len(row["curve"]) for row in rows)),
        {"title": title("validation accuracy (%)")},
        **layout,
    )


def cross_entropies(data: Data) -> Figure | None:
    """Plot the cross-entropy of every trial on the validation split; None where no trial has it."""
    rows = [row for row in data["trials"] if row["cross_entropy"]]
    if not rows:
        return None
    return plot(
        _of_batches(rows, "cross_entropy"),
        _epoch_axis(max(len(row["curve"]) for row in rows)),
        {"title": title("validation cross-entropy (nats)")},
    )


def _of_batches(rows: Sequence[Data], metric: str) -> list[dict[str, Any]]:
    """Return one line per trial, in the color of its batch."""
    traces, shown = [], set()
    for row in rows:
        batch = row["batch"]
        style = {"group": batch, "color": batch_color(batch), "dash": DASHES[batch % len(DASHES)]}
        traces.append(_curve(row, batch_name(batch), **style, show=batch not in shown, metric=metric))
        shown.add(batch)
    return traces


def _epoch_axis(longest: int) -> dict[str, Any]:
    """Return the axis of epochs, with about ten integer ticks."""
    return {
        "title": title("epoch"),
        "rangemode": "tozero",
        "tick0": 0,
        "dtick": max(1, math.ceil(longest / 10)),
    }


def _vertical_line(epoch: int) -> dict[str, Any]:
    line = {"color": "@accent", "width": 2, "dash": "dash"}
    return {"type": "line", "x0": epoch, "x1": epoch, "y0": 0, "y1": 1, "yref": "paper", "line": line}


def _epoch_label(epoch: int) -> dict[str, Any]:
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
    """Plot how well each epoch ranks the first batch; None with too few curves."""
    values = data["early_stopping"]
    if not values:
        return None
    layout: dict[str, Any] = {"shapes": []}
    threshold = data["config"].get("threshold")
    if threshold is not None:
        line = {"color": "@gray", "width": 1.5, "dash": "dot"}
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
        layout["shapes"].append(_vertical_line(data["early_stop_epoch"]))
        layout["annotations"] = [_epoch_label(data["early_stop_epoch"])]
    decision = data["early_stop_decision"]
    lines = [("as measured", values, "@c1", "solid")]
    if decision is not None and decision["reliability"]:
        lines.append(("without the noise of the labels", list(decision["corrected"]), "@c2", "dash"))
    name = data["config"]["correlation"].capitalize()
    return plot(
        [_correlations(*line) for line in lines],
        _epoch_axis(len(values)),
        {"title": title(f"rank correlation ({name})")},
        showlegend=len(lines) > 1,
        **layout,
    )


def _correlations(name: str, values: Sequence[float | None], color: str, dash: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": list(range(1, len(values) + 1)),
        "y": values,
        "line": {"color": color, "width": 2, "dash": dash},
        "marker": {"color": color, "size": 8},
        "hovertemplate": "epoch %{x}: %{y:.3f}<extra></extra>",
    }


def final_curves(data: Data) -> Figure | None:
    """Plot the curves of the full trainings; None before the first one."""
    finals = [row for row in data["finals"] if row["curve"]]
    if not finals:
        return None
    return plot(
        [_final(data, row, i, DASHES[i % 4], "curve") for i, row in enumerate(finals)],
        _epoch_axis(max(len(row["curve"]) for row in finals)),
        {"title": title("validation accuracy (%)")},
    )


def final_losses(data: Data) -> Figure | None:
    """Plot both losses of the full trainings; None where none has them."""
    finals = [row for row in data["finals"] if row["cross_entropy"]]
    if not finals:
        return None
    traces = [
        _final(data, row, i, dash, metric)
        for i, row in enumerate(finals)
        for metric, dash in (("cross_entropy", "solid"), ("training_loss", "dot"))
    ]
    return plot(
        traces,
        _epoch_axis(max(len(row["curve"]) for row in finals)),
        {"title": title("loss (nats)")},
    )


def _final(data: Data, row: Data, number: int, dash: str, metric: str) -> dict[str, Any]:
    """Return a line of one full training, in its color; its training loss is not in the legend."""
    budgets = {result["candidate"]: result["budget"] for result in data["results"]}
    name = str(budgets.get(row["candidate"], row["candidate"]))
    color, show = f"@c{number % 7 + 1}", metric != "training_loss"
    return _curve(row, name, group=number, color=color, dash=dash, show=show, metric=metric)
