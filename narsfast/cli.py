"""The command line: parses and prints, nothing else."""

from __future__ import annotations

import json
import math
import sqlite3
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from .cli_doctor import doctor
from .cli_latency import latency
from .cli_models import scale, with_recipe
from .cli_options import BudgetTexts, Fix, Json, RecipeSpace, RunPath, Workers, assignment, creates_run
from .cli_pareto import pareto
from .console import print_state, print_table, progress_bars
from .errors import UserError


class _Commands(typer.core.TyperGroup):
    """Ends a mistake of the user with one sentence and exit code 1, and Ctrl-C with 130."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            typer.echo(f"narsfast: {error}", err=True)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            typer.echo("narsfast: stopped; the same command goes on from here", err=True)
            raise typer.Exit(130) from None


app = typer.Typer(
    name="narsfast",
    cls=_Commands,
    help="Find small, accurate vision networks together with the recipe that trains them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)

app.add_typer(latency, name="latency")


@app.command()
@creates_run
def run(out: Path, options: dict[str, Any], workers: int | None) -> None:
    """Run the whole search: pretrain, optimise, evolve, train, emit, report.

    A run directory that exists goes on where it stopped. The table at the end has one line a budget.
    """
    from .pipeline import run as run_search

    with progress_bars() as progress:
        results = run_search(out, options, workers=workers, progress=progress)
    _print_predictor(out)
    _print_results(out, results)


@app.command()
@creates_run
def pretrain(out: Path, options: dict[str, Any], workers: int | None) -> None:
    """Stage 1: make the run, sample the pool, pretrain the predictor on what costs nothing."""
    from . import pipeline

    with progress_bars() as progress, pipeline.open_search(out, options, workers, progress) as search:
        pipeline.pretrain(search)
    _print_predictor(out)


@app.command()
def optimise(run: RunPath, workers: Workers = None) -> None:
    """Stage 2: train batches of promising candidates, refitting the predictor after each."""
    from . import pipeline

    with progress_bars() as progress, pipeline.open_search(run, None, workers, progress) as search:
        pipeline.optimise(search)
    _print_predictor(run)


@app.command()
def evolve(
    run: RunPath,
    budget: BudgetTexts = None,
    as_json: Json = False,
) -> None:
    """Stage 3: search the best candidates for every budget. --budget adds one to those of the run."""
    from . import pipeline

    with progress_bars() as progress, pipeline.open_search(run, None, 1, progress) as search:
        families = pipeline.evolve(search, budget or ())
    if as_json:
        typer.echo(json.dumps(families))
        return
    for family in families:
        best = family["candidates"][0]
        typer.echo(
            f"{family['budget']}: predicted {best['predicted']:.2f} %, {best['statistics']['macs']} MACs"
        )


app.command()(pareto)
app.command()(doctor)


def _train_run(run: Path, workers: int | None, as_json: bool) -> None:
    from . import pipeline

    with progress_bars() as progress, pipeline.open_search(run, None, workers, progress) as search:
        trials = pipeline.train(search)
    rows = [
        {
            "budget": budget,
            "candidate": trial.candidate,
            "validation": trial.curve[-1],
            "seconds": trial.seconds,
        }
        for budget, trial in trials.items()
    ]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    for row in rows:
        typer.echo(f"{row['budget']}: validation {row['validation']:.2f} % after {row['seconds']:.0f} s")


app.command()(with_recipe(_train_run))
app.command()(scale)


@app.command()
def emit(run: RunPath, as_json: Json = False) -> None:
    """Stage 5: test each network once, and write its folder: weights, definition, recipe, ONNX, card."""
    from . import pipeline

    with progress_bars() as progress, pipeline.open_search(run, None, 1, progress) as search:
        results = pipeline.emit(search)
    if as_json:
        typer.echo(_results_as_json(run, results))
    else:
        _print_results(run, results)


@app.command()
def resume(run: RunPath, workers: Workers = None) -> None:
    """Go on with a run that was stopped, to its end."""
    from .pipeline import run as run_search

    with progress_bars() as progress:
        results = run_search(run, None, workers=workers, progress=progress)
    _print_predictor(run)
    _print_results(run, results)


@app.command()
def status(run: RunPath, as_json: Json = False) -> None:
    """Show how far a run is, while it runs and after."""
    from .runs import Run

    with Run.read(run) as opened:
        state = opened.state().to_dict()
    if as_json:
        typer.echo(json.dumps(state))
        return
    print_state(state)


@app.command()
def best(run: RunPath, as_json: Json = False) -> None:
    """Show what was found, and where the files are."""
    from .runs import Run

    with Run.read(run) as opened:
        results = opened.results()
    if as_json:
        typer.echo(_results_as_json(run, results))
        return
    if not results:
        raise UserError(f"run: {run} has no result yet; `narsfast status {run}` shows how far it is")
    _print_results(run, results)


@app.command()
def report(run: RunPath, out: Annotated[Path | None, typer.Option(help="Where to write it.")] = None) -> None:
    """Write the report of a run: one HTML page. Works while the run is under way."""
    from .report import write_report
    from .runs import Run

    with Run.read(run) as opened:
        file = out or run / "report.html"
        try:
            write_report(opened, file)
        except OSError as error:
            raise UserError(f"out: {file} cannot be written ({error.strerror}); name another file") from None
    typer.echo(str(file))


@app.command()
def export(run: RunPath, file: Annotated[Path, typer.Argument(help="The copy to write.")]) -> None:
    """Copy the database of a run into one file, also while the run is under way."""
    from .runs import Run

    with Run.read(run) as opened:
        try:
            opened.copy_to(file)
        except (OSError, sqlite3.Error) as error:
            raise UserError(f"file: {file} cannot be written ({error}); name another file") from None
    typer.echo(str(file))


@app.command()
def zoo(as_json: Json = False) -> None:
    """List the published networks with their statistics."""
    from .arch import zoo as definitions_by_name
    from .cost import STATISTICS, count_definitions

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


@app.command()
def space(
    name: Annotated[str, typer.Argument(metavar="SPACE", help="tiny, mobile, fbnetv3, or a YAML file.")],
    recipe_space: RecipeSpace = None,
    fix: Fix = None,
    as_json: Json = False,
) -> None:
    """Check a space and show its fields and its exact size."""
    from .space import load_space, with_recipe_space

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


def _results_as_json(run: Path, results: Any) -> str:
    rows = [
        {
            "budget": result.budget,
            "macs": result.macs,
            "params": result.params,
            "predicted": result.predicted,
            "measured": result.test,
            "dir": str(run / result.directory),
        }
        | _latency(run / result.directory)
        for result in results
    ]
    found: dict[str, Any] = {"results": rows}
    if baselines := _baselines(run):
        found["baselines"] = [
            {key: row[key] for key in ("model", "resolution", "macs", "params", "outcome")}
            | {"measured": row["test"], "dir": str(run / row["directory"])}
            for row in baselines
        ]
    return json.dumps(found)


def _baselines(run: Path) -> list[dict[str, Any]]:
    """What the run knows of its baselines (`narsfast.baselines.measure_baselines`)."""
    from .runs import Run

    with Run.read(run) as opened:
        return opened.fact("baselines") or []


def _values(values: tuple[Any, ...]) -> str:
    shown = [str(value) for value in values]
    return ", ".join(shown) if len(shown) <= 6 else f"{shown[0]}, {shown[1]}, ... {shown[-1]}"


def _print_predictor(path: Path) -> None:
    """How well the predictor learnt the statistics, and how it ranks trials beside its rivals."""
    from .runs import Run

    with Run.read(path) as opened:
        pretraining, fits = opened.fact("predictor_pretraining"), opened.fact("fits")
    if pretraining:
        rows = [
            {
                "statistic": name,
                "error": f"{row['error']:.4f}",
                "rank correlation": f"{row['rank_correlation']:.4f}",
            }
            for name, row in pretraining.items()
        ]
        print_table("Pretraining (held-out fifth; error in standard deviations of what is learnt)", rows)
    if fits:
        rows = [
            {"trials": fit["trials"]}
            | {name.replace("_", " "): _tau(tau) for name, tau in fit["taus"].items()}
            for fit in fits
        ]
        print_table("Kendall tau of the predictor and its rivals (cross-validated)", rows)


def _tau(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.2f}"


def _print_results(run: Path, results: Any) -> None:
    rows = [
        {
            "budget": result.budget,
            "MACs": result.macs,
            "params": result.params,
        }
        | {f"{name} ms": f"{value:.2f}" for name, value in _latency(run / result.directory).items()}
        | {
            "predicted %": f"{result.predicted:.2f}",
            "validation %": f"{result.validation:.2f}",
            "test %": f"{result.test:.2f}",
            "ONNX": _onnx(run / result.directory),
            "files": str(run / result.directory),
        }
        for result in results
    ]
    timed = [name for name in rows[0] if name.endswith(" ms")]
    rows += [_baseline_row(run, row, timed) for row in _baselines(run)]
    print_table("Found (predicted: validation accuracy at the early-stop epoch)", rows)
    typer.echo(f"report: {run / 'report.html'}")


def _baseline_row(run: Path, row: dict[str, Any], timed: list[str]) -> dict[str, Any]:
    """A baseline as a row of the table of results."""
    trained = row["outcome"] == "ok"
    return {
        "budget": f"(baseline {row['model']}, {row['resolution']} px)",
        "MACs": row["macs"] if trained else "-",
        "params": row["params"] if trained else "-",
        **dict.fromkeys(timed, "-"),
        "predicted %": "-",
        "validation %": f"{row['validation']:.2f}" if trained else "-",
        "test %": f"{row['test']:.2f}" if trained else "-",
        "ONNX": "-",
        "files": str(run / row["directory"]) if trained else f"{row['outcome']}: {row['message']}",
    }


def _latency(directory: Path) -> dict[str, float]:
    """The latency of an emitted network in milliseconds by its name; nothing where it was no statistic."""
    statistics = _emission(directory).get("statistics", {})
    return {name: value for name, value in statistics.items() if name == "latency"}


def _emission(directory: Path) -> dict[str, Any]:
    """What is known of an emitted network; empty where its files are gone."""
    try:
        known: dict[str, Any] = json.loads((directory / "emission.json").read_text())
    except (OSError, ValueError):
        return {}
    return known


def _onnx(directory: Path) -> str:
    """What the check of the ONNX file said: same top-1 as torch on n images (largest difference of a logit)."""
    check = _emission(directory).get("onnx")
    if check is None:
        return "-"
    if check["status"] == "equal":
        return f"equal on {check['images']} ({check['max_abs_difference']:.1e})"
    return f"{check['status']}: {check['reason']}" if check.get("reason") else str(check["status"])


def main() -> None:
    """Entry point of the `narsfast` command."""
    app()
