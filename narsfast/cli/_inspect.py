"""Commands that look at a run."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Annotated

import typer

from narsfast.errors import UserError

from ._options import Json, RunPath
from ._outputs import writable
from ._results import print_results, results_as_json
from ._tables import print_state


def status(run: RunPath, as_json: Json = False) -> None:
    """Show how far a run is, while it runs and after."""
    from narsfast.runs import RunStore

    with RunStore.read(run) as opened:
        state = opened.state().to_dict()
    if as_json:
        typer.echo(json.dumps(state))
        return
    print_state(state)


def best(run: RunPath, as_json: Json = False) -> None:
    """Show what was found, and where the files are."""
    from narsfast.runs import RunStore

    with RunStore.read(run) as opened:
        results = opened.results()
    if as_json:
        typer.echo(results_as_json(run, results))
        return
    if not results:
        raise UserError(f"run: {run} has no result yet; `narsfast status {run}` shows how far it is")
    print_results(run, results)


def report(run: RunPath, out: Annotated[Path | None, typer.Option(help="Where to write it.")] = None) -> None:
    """Write the report of a run: one HTML page. Works while the run is under way."""
    from narsfast.report import write_report
    from narsfast.runs import RunStore, legible

    with RunStore.read(run) as opened:
        file = writable(out or run / "report.html")
        with legible(run):
            write_report(opened, file)
    typer.echo(str(file))


def backup(run: RunPath, file: Annotated[Path, typer.Argument(help="The copy to write.")]) -> None:
    """Copy the database of a run into one file, also while the run is under way."""
    from narsfast.runs import RunStore

    with RunStore.read(run) as opened:
        file = writable(file, "file")
        try:
            opened.copy_to(file)
        except (OSError, sqlite3.Error) as error:
            raise UserError(f"file: {file} cannot be written ({error}); name another file") from None
    typer.echo(str(file))
