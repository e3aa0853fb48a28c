"""The command `narsfast pareto`."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from narsfast.common.files import write_file
from narsfast.errors import UserError

from ._options import Json, RunPath
from ._outputs import writable
from ._progress import progress_bars
from ._tables import print_table

_SHOWN = 20  # rows of the table; the file has all


def pareto(
    run: RunPath,
    statistic: Annotated[
        list[str] | None,
        typer.Option(help="Statistic against accuracy. Default: macs. May be given twice."),
    ] = None,
    between: Annotated[
        str | None,
        typer.Option(
            help="LO:HI: bounds of the first statistic, as in 50M:100M. Default: those of the pool."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File for the whole front, .json or .csv.", dir_okay=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the whole front of predicted accuracy against statistics, with the predictor's uncertainty."""
    from narsfast import pipeline

    if out is not None and out.suffix not in (".json", ".csv"):
        raise UserError(f"out: {out} should end in .json or .csv")
    if out is not None:
        out = writable(out)
    names = statistic or ["macs"]
    with progress_bars() as progress, pipeline.open_search(run, None, 1, progress) as search:
        front = [found.to_dict() for found in pipeline.pareto(search, names, between)]
    if out is not None:
        write_file(out, json.dumps(front, indent=1) if out.suffix == ".json" else _csv(front))
    if as_json:
        typer.echo(json.dumps(front))
        return
    step = max(1, -(-len(front) // _SHOWN))
    rows = [
        {name: row["statistics"][name] for name in names}
        | {"predicted %": f"{row['predicted']:.2f}", "std": f"{row['std']:.2f}", "candidate": row["id"]}
        for row in front[::step]
    ]
    every = "" if step == 1 else f", one in {step} shown"
    print_table(f"Front of {len(front)} candidates{every}", rows)


def _csv(front: Sequence[Mapping[str, Any]]) -> str:
    """Return one line per candidate: id, predicted, std, statistics; architecture and recipe as JSON."""
    text = io.StringIO()
    writer = csv.writer(text)
    names = list(front[0]["statistics"])
    writer.writerow(["id", "predicted", "std", *names, "architecture", "recipe"])
    for row in front:
        parts = [json.dumps(row[part]) for part in ("architecture", "recipe")]
        writer.writerow([row["id"], row["predicted"], row["std"], *row["statistics"].values(), *parts])
    return text.getvalue()
