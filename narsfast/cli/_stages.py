"""Commands that run the stages of a search."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer
import typer.core

from ._console import progress_bars
from ._options import BudgetTexts, Json, RunPath, Workers, creates_run
from ._results import print_predictor, print_results, results_as_json


@creates_run
def run(out: Path, options: dict[str, Any], workers: int | None) -> None:
    """Run the whole search: pretrain, optimize, evolve, train, emit, report.

    A run directory that exists goes on where it stopped. The table at the end has one line a budget.
    """
    from narsfast.pipeline import run as run_search

    with progress_bars() as progress:
        results = run_search(out, options, workers=workers, progress=progress)
    print_predictor(out)
    print_results(out, results)


@creates_run
def pretrain(out: Path, options: dict[str, Any], workers: int | None) -> None:
    """Stage 1: make the run, sample the pool, pretrain the predictor on what costs nothing."""
    from narsfast import pipeline

    with progress_bars() as progress, pipeline.open_search(out, options, workers, progress) as search:
        pipeline.pretrain(search)
    print_predictor(out)


def optimize(run: RunPath, workers: Workers = None) -> None:
    """Stage 2: train batches of promising candidates, refitting the predictor after each."""
    from narsfast import pipeline

    with progress_bars() as progress, pipeline.open_search(run, None, workers, progress) as search:
        pipeline.optimize(search)
    print_predictor(run)


def evolve(
    run: RunPath,
    budget: BudgetTexts = None,
    as_json: Json = False,
) -> None:
    """Stage 3: search the best candidates for every budget. --budget adds one to those of the run."""
    from narsfast import pipeline

    with progress_bars() as progress, pipeline.open_search(run, None, 1, progress) as search:
        families = pipeline.evolve(search, budget or ())
    if as_json:
        typer.echo(json.dumps([family.to_dict() for family in families]))
        return
    for family in families:
        best = family.candidates[0]
        typer.echo(f"{family.budget}: predicted {best.predicted:.2f} %, {best.statistics['macs']} MACs")


def train_run(run: Path, workers: int | None, as_json: bool) -> None:
    from narsfast import pipeline

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


def resume(run: RunPath, workers: Workers = None) -> None:
    """Go on with a run that was stopped, to its end."""
    from narsfast.pipeline import run as run_search

    with progress_bars() as progress:
        results = run_search(run, None, workers=workers, progress=progress)
    print_predictor(run)
    print_results(run, results)
