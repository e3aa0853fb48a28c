"""Commands that look at a run, a space or the published networks."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from narsfast.errors import UserError

from ._console import print_state, print_table
from ._options import Fix, Json, RecipeSpace, RunPath, assignment
from ._results import print_results, results_as_json


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
    from narsfast.runs import RunStore

    with RunStore.read(run) as opened:
        file = out or run / "report.html"
        try:
            write_report(opened, file)
        except OSError as error:
            raise UserError(f"out: {file} cannot be written ({error.strerror}); name another file") from None
    typer.echo(str(file))


def export(run: RunPath, file: Annotated[Path, typer.Argument(help="The copy to write.")]) -> None:
    """Copy the database of a run into one file, also while the run is under way."""
    from narsfast.runs import RunStore

    with RunStore.read(run) as opened:
        try:
            opened.copy_to(file)
        except (OSError, sqlite3.Error) as error:
            raise UserError(f"file: {file} cannot be written ({error}); name another file") from None
    typer.echo(str(file))


def zoo(as_json: Json = False) -> None:
    """List the published networks with their statistics."""
    from narsfast.arch import zoo as definitions_by_name
    from narsfast.cost import STATISTICS, count_definitions

    definitions = definitions_by_name()
    table = count_definitions(list(definitions.values()), in_chans=3, num_classes=1000)
    columns = {
        "conv_macs": "macs",
        "flops_published": "flops_published",
        "params_all": "params",
        "params_published": "params_published",
    }
    rows = [
        {"name": name, "resolution": definition.resolution}
        | {key: int(row[STATISTICS.index(column)]) for key, column in columns.items()}
        for (name, definition), row in zip(definitions.items(), table, strict=True)
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
    else:
        print_table("Published networks", rows)


def space(
    name: Annotated[str, typer.Argument(metavar="SPACE", help="tiny, mobile, fbnetv3, or a YAML file.")],
    recipe_space: RecipeSpace = None,
    fix: Fix = None,
    as_json: Json = False,
) -> None:
    """Check a space and show its fields and its exact size."""
    from narsfast.space import load_space, with_recipe_space

    loaded = load_space(name)
    if recipe_space is not None:
        loaded = with_recipe_space(loaded, recipe_space)
    loaded = loaded.fix(dict(assignment(text) for text in fix or ()))
    if as_json:
        typer.echo(json.dumps({"name": loaded.name, "size": loaded.size(), "space": loaded.to_dict()}))
        return
    rows = [
        {"field": field.name, "part": field.part, "kind": field.kind, "values": _values(field.values)}
        for field in loaded.fields
    ]
    print_table(f"{loaded.name}: {loaded.size()} candidates", rows)


def _values(values: tuple[Any, ...]) -> str:
    shown = [str(value) for value in values]
    return ", ".join(shown) if len(shown) <= 6 else f"{shown[0]}, {shown[1]}, ... {shown[-1]}"
