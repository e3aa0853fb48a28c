"""Commands that run the stages of a search."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from narsfast.common.options import RUN_OPTIONS

from ._options import Json, RunPath, help_text, takes
from ._progress import progress_bars
from ._results import print_predictor, print_results, results_as_json
from ._slurm import Requeue, requeued_when_stopped

Out = Annotated[
    Path | None,
    typer.Option(
        help=help_text("Run directory. One that exists is resumed.", "runs/DATA, or runs/DATA-MODEL")
    ),
]


@takes(*RUN_OPTIONS)
def run(out: Out = None, requeue: Requeue = False, **options: Any) -> None:
    """Run the whole search: pretrain, optimize, evolve, train, emit, report.

    A run directory that exists is resumed. The table at the end has one line per budget.
    """
    from narsfast.pipeline import run as run_search

    out, workers = out or _run_directory(options), options.pop("workers", None)
    with requeued_when_stopped(requeue), progress_bars() as progress:
        results = run_search(out, options, workers=workers, progress=progress)
    print_predictor(out)
    print_results(out, results)


@takes(*RUN_OPTIONS)
def pretrain(out: Out = None, **options: Any) -> None:
    """Stage 1: create the run, sample the pool, pretrain the predictor on what costs nothing."""
    from narsfast import pipeline

    out, workers = out or _run_directory(options), options.pop("workers", None)
    with progress_bars() as progress, pipeline.open_search(out, options, workers, progress) as search:
        pipeline.pretrain(search)
    print_predictor(out)


@takes("workers")
def optimize(run: RunPath, **options: Any) -> None:
    """Stage 2: train batches of promising candidates, refitting the predictor after each."""
    from narsfast import pipeline

    workers = options.get("workers")
    with progress_bars() as progress, pipeline.open_search(run, None, workers, progress) as search:
        pipeline.optimize(search)
    print_predictor(run)


@takes("budgets")
def evolve(run: RunPath, as_json: Json = False, **options: Any) -> None:
    """Stage 3: search the best candidates for every budget, those of --budget added to the run's."""
    from narsfast import pipeline

    with progress_bars() as progress, pipeline.open_search(run, None, 1, progress) as search:
        families = pipeline.evolve(search, options.get("budgets", ()))
    if as_json:
        typer.echo(json.dumps([family.to_dict() for family in families]))
        return
    for family in families:
        best = family.candidates[0]
        typer.echo(f"{family.budget}: predicted {best.predicted:.2f} %, {best.statistics['macs']} MACs")


@takes("workers")
def train(run: RunPath, as_json: Json = False, **options: Any) -> None:
    """Stage 4: train the best candidate of every budget fully."""
    from narsfast import pipeline

    workers = options.get("workers")
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


def emit(run: RunPath, as_json: Json = False) -> None:
    """Stage 5: test each network once, and write its folder: weights, definition, recipe, ONNX, card."""
    from narsfast import pipeline

    with progress_bars() as progress, pipeline.open_search(run, None, 1, progress) as search:
        results = pipeline.emit(search)
    if as_json:
        typer.echo(results_as_json(run, results))
    else:
        print_results(run, results)


@takes("workers")
def resume(
    run: RunPath,
    data: Annotated[
        str | None,
        typer.Option(help="Where the run's data lies now, if it was moved: it must be the same data."),
    ] = None,
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry-failed",
            help="Try again trainings that failed, were lost, ran out of time or memory; what followed from them is "
            "found anew.",
        ),
    ] = False,
    accept_environment: Annotated[
        bool,
        typer.Option(
            "--accept-environment",
            help="Go on with other patch versions of python, torch or the loader than the run was started with; "
            "trainings may then differ in their last digits.",
        ),
    ] = False,
    requeue: Requeue = False,
    **options: Any,
) -> None:
    """Resume a run that was stopped, and finish it."""
    from narsfast.pipeline import Resume
    from narsfast.pipeline import run as run_search

    with requeued_when_stopped(requeue), progress_bars() as progress:
        results = run_search(
            run,
            None,
            workers=options.get("workers"),
            progress=progress,
            resume=Resume(data, retry_failed, accept_environment),
        )
    print_predictor(run)
    print_results(run, results)


def _run_directory(options: Mapping[str, Any]) -> Path:
    """Name a run after its data and its model."""
    from narsfast.data import DataSource

    model = options.get("model")
    name = DataSource.parse(options.get("data", RUN_OPTIONS["data"].default)).name
    if model is not None:
        if options.get("pretrained"):  # perhaps with a file of weights
            model = model.partition("=")[0]
        name += "-" + re.sub(r"\W+", "-", Path(model.rpartition(":")[2]).stem)
    return Path("runs") / name
