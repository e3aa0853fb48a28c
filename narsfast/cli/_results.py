"""The results of a run as tables and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from ._tables import print_table


def results_as_json(run: Path, results: Any) -> str:
    """Return the networks found and the baselines as JSON; ``measured`` is ``test`` by its name of version 0.1."""
    passed = _passed_over(run)
    worths = _worths(run)
    balanced = _balanced(run)
    rows = [
        {
            "budget": result.budget,
            "macs": result.macs,
            "params": result.params,
            "predicted": result.predicted,
            "test": result.test,
            "balanced_accuracy": balanced.get(result.candidate),
            "measured": result.test,
            "dir": str(run / result.directory),
        }
        | _latency(run / result.directory)
        | _kept(run / result.directory)
        | ({"worth": asdict(worths[result.budget])} if result.budget in worths else {})
        | ({"passed_over": passed[result.budget]} if result.budget in passed else {})
        for result in results
    ]
    found: dict[str, Any] = {"results": rows}
    if baselines := _baselines(run):
        found["baselines"] = [
            {key: row[key] for key in ("model", "resolution", "macs", "params", "outcome")}
            | {"test": row["test"], "balanced_accuracy": balanced.get(row["model"]), "measured": row["test"]}
            | {"dir": str(run / row["directory"])}
            for row in baselines
        ]
    return json.dumps(found)


def _baselines(run: Path) -> list[dict[str, Any]]:
    """Read what the run knows of its baselines (`narsfast.runs.BaselineResult`)."""
    from narsfast.runs import RunStore

    with RunStore.read(run) as opened:
        return [asdict(result) for result in opened.facts.baselines or ()]


def _passed_over(run: Path) -> dict[str, list[dict[str, Any]]]:
    """Read which better predicted candidates the networks of a run replace, by the labels of their budgets."""
    from narsfast.runs import RunStore, all_passed_over

    with RunStore.read(run) as opened:
        return {label: [asdict(row) for row in rows] for label, rows in all_passed_over(opened).items()}


def _worths(run: Path) -> dict[str, Any]:
    """Read what is known of the networks of a run (`narsfast.runs.Worth`), by the labels of their budgets."""
    from narsfast.runs import RunStore

    with RunStore.read(run) as opened:
        return {worth.budget: worth for worth in opened.facts.worths or ()}


def _balanced(run: Path) -> dict[str, float]:
    """Read the balanced accuracies of the tested networks, by candidate or reference; early runs have none."""
    from narsfast.runs import RunStore

    with RunStore.read(run) as opened:
        known = opened.facts.class_results or {}
    return {name: results.balanced_accuracy for name, results in known.items()}


def print_predictor(path: Path) -> None:
    """Print how well the predictor learned the statistics, and how it ranks trials beside its rivals."""
    from narsfast.runs import RunStore

    with RunStore.read(path) as opened:
        pretraining, fits = opened.facts.predictor_pretraining, opened.facts.fits
    if pretraining:
        rows = [
            {
                "statistic": name,
                "error": f"{row['error']:.4f}",
                "rank correlation": f"{row['rank_correlation']:.4f}",
            }
            for name, row in pretraining.items()
        ]
        print_table("Pretraining (held-out fifth; error in standard deviations of what is learned)", rows)
    if fits:
        rows = [
            dict[str, Any](trials=fit.trials)
            | {name.replace("_", " "): _tau(tau) for name, tau in fit.taus.items()}
            for fit in fits
        ]
        print_table("Kendall tau of the predictor and its rivals (cross-validated)", rows)


def _tau(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.2f}"


def print_results(run: Path, results: Any) -> None:
    """Print the networks found and the baselines as one table, what they replace, and where the report is."""
    from narsfast.runs import PassedOver

    balanced = _balanced(run)
    parents = {result.directory: _parent(run / result.directory) for result in results}
    rows = [
        {
            "budget": result.budget,
            "MACs": result.macs,
            "params": result.params,
        }
        | ({"parent": parents[result.directory] or "-"} if any(parents.values()) else {})
        | {f"{name} ms": f"{value:.2f}" for name, value in _latency(run / result.directory).items()}
        | {
            "predicted %": f"{result.predicted:.2f}",
            "validation %": f"{result.validation:.2f}",
            "test %": f"{result.test:.2f}",
            "balanced %": _percent(balanced.get(result.candidate)),
            "ONNX": _onnx(run / result.directory),
            "files": str(run / result.directory),
        }
        for result in results
    ]
    timed = [name for name in rows[0] if name == "parent" or name.endswith(" ms")]
    rows += [_baseline_row(run, row, timed, _percent(balanced.get(row["model"]))) for row in _baselines(run)]
    print_table("Found (predicted: validation accuracy at the early-stop epoch)", rows)
    for budget, passed in _passed_over(run).items():
        for row in passed:
            typer.echo(f"{budget}: {PassedOver(**row).sentence()}")
    for budget, worth in _worths(run).items():
        typer.echo(f"{budget}: {worth.sentence()}")
    typer.echo(f"report: {run / 'report.html'}")
    if results and (hint := _parents_hint(_emission(run / results[0].directory))):
        typer.echo(hint)


_FEW_IMAGES = 50_000


def _parents_hint(known: Mapping[str, Any]) -> str | None:
    """Say what a parent would do for networks that were trained from scratch on few images; None elsewhere.

    Args:
        known: What `_emission` read of one of them.
    """
    try:
        images = known["data"]["images"]["train"]
        if known.get("parent") is not None or not 0 < images < _FEW_IMAGES:
            return None
    except (KeyError, TypeError):
        return None
    return (
        f"hint: these networks learned from {images:,} images alone; with `--parent efficientnet_lite0` they would "
        "start from pretrained weights, shrunk to the budgets (docs/pretrained.md)"
    )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _baseline_row(run: Path, row: dict[str, Any], timed: list[str], balanced: str) -> dict[str, Any]:
    """Return a baseline as a row of the table of results."""
    trained = row["outcome"] == "ok"
    return {
        "budget": f"(baseline {row['model']}, {row['resolution']} px)",
        "MACs": row["macs"] if trained else "-",
        "params": row["params"] if trained else "-",
        **dict.fromkeys(timed, "-"),
        "predicted %": "-",
        "validation %": f"{row['validation']:.2f}" if trained else "-",
        "test %": f"{row['test']:.2f}" if trained else "-",
        "balanced %": balanced,
        "ONNX": "-",
        "files": str(run / row["directory"]) if trained else f"{row['outcome']}: {row['message']}",
    }


def _latency(directory: Path) -> dict[str, float]:
    """Return the latency of an emitted network, milliseconds by its name; nothing where it was no statistic."""
    statistics = _emission(directory).get("statistics")
    latency = statistics.get("latency") if isinstance(statistics, dict) else None
    return {"latency": latency} if isinstance(latency, int | float) else {}


def _kept(directory: Path) -> dict[str, Any]:
    """Return what an emitted network has of its parent, as its folder says; nothing where it has none."""
    kept = _emission(directory).get("kept")
    return {"kept": kept} if isinstance(kept, dict) else {}


def _parent(directory: Path) -> str | None:
    """Return a few words on the parent of an emitted network; None where it has none, or they cannot be read."""
    from narsfast.arch import Kept

    try:
        return Kept.from_dict(_kept(directory)["kept"]).text()
    except (KeyError, TypeError):
        return None


def _emission(directory: Path) -> dict[str, Any]:
    """Read what is known of an emitted network; empty where its files are gone or damaged."""
    try:
        known = json.loads((directory / "emission.json").read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def _onnx(directory: Path) -> str:
    """Say what the check of the ONNX file found: same top-1 as torch on n images (largest difference of a logit)."""
    check = _emission(directory).get("onnx")
    if not isinstance(check, dict) or "status" not in check:
        return "-"
    difference = check.get("max_abs_difference")
    if check["status"] == "equal" and isinstance(difference, int | float):
        return f"equal on {check.get('images')} ({difference:.1e})"
    return f"{check['status']}: {check['reason']}" if check.get("reason") else str(check["status"])
