"""Are the networks that a run finds better than known ones of no fewer multiply-adds?

    python -m bench.baselines [--quick] [--json FILE] [--data DIR] [--runs DIR]

For each of three seeds, `narsfast run` with its defaults on the clothing photos at 64 px: one budget for torchvision's
mobilenet_v3_small and one for mobilenet_v3_large, with exactly their multiply-adds as the bound, and both as baselines:
trained on the same images for as many epochs (30), by the standard recipe of `narsfast.baselines`, two at a time.

Figures, over the seeds: mean test accuracy of the found networks and of the baseline, the mean gap (found less baseline
of the same seed), and the standard error of the gap; their multiply-adds.

`--runs DIR` keeps the runs, and goes on with those that are there; name the photos as a folder then, since an archive is
unpacked to another place each time.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from bench import harness
from narsfast import pipeline
from narsfast.arch import create_model
from narsfast.cost import count_network
from narsfast.data import shared_data
from narsfast.runs import Run

RESOLUTION = 64
MODELS = {"small": "torchvision:mobilenet_v3_small", "large": "torchvision:mobilenet_v3_large"}
OPTIONS = {"fix": {"resolution": RESOLUTION}, "pool_bounds": "macs=2M:40M", "final_epochs": 30}
QUICK = {"pool_size": 128, "members": 1, "batch": 2, "iterations": 1, "epochs": 1, "final_epochs": 1}


def bounds(folder: str) -> dict[str, str]:
    """The budget of each baseline: what it costs on these photos."""
    data = shared_data(folder, RESOLUTION)
    classes, channels = len(data.classes), data.in_chans
    return {
        name: f"macs={count_network(create_model(model, classes), channels, RESOLUTION, classes)['macs']}"
        for name, model in MODELS.items()
    }


def judge(
    path: Path, folder: str, budgets: Mapping[str, str], options: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """One run: a row a baseline, with the network found for its budget beside it."""
    asked = {"data": folder, "budgets": list(budgets.values()), "baselines": list(MODELS.values())}
    results = pipeline.run(path, {**OPTIONS, **asked, **options}, workers=2)
    with Run.read(path) as run:
        known = {row["model"]: row for row in run.fact("baselines")}
        seconds = {
            trial.candidate: trial.seconds for trial in (*run.trials("final"), *run.trials("baseline"))
        }
        searched = sum(trial.seconds for trial in run.trials("search"))
    rows = []
    for (name, model), result in zip(MODELS.items(), results, strict=True):
        baseline = known[model]
        if baseline["outcome"] != "ok":
            raise SystemExit(f"the training of {model} {baseline['outcome']}: {baseline['message']}")
        rows.append(
            {
                "seed": options["seed"],
                "baseline": name,
                "found_macs": result.macs,
                "baseline_macs": baseline["macs"],
                "found_params": result.params,
                "baseline_params": baseline["params"],
                "found_test": result.test,
                "baseline_test": baseline["test"],
                "found_seconds": seconds[result.candidate],
                "baseline_seconds": seconds[model],
                "search_seconds": searched,
            }
        )
    return rows


def figures_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Means over the seeds for each baseline, and how sure the gap is."""
    figures: dict[str, float] = {}
    for name in MODELS:
        part = [row for row in rows if row["baseline"] == name]
        gaps = [row["found_test"] - row["baseline_test"] for row in part]
        for kind in ("found", "baseline"):
            for what in ("test", "macs"):
                mean = statistics.mean(row[f"{kind}_{what}"] for row in part)
                figures[f"mobilenet_v3_{name}_{kind}_{what}"] = mean
        figures[f"mobilenet_v3_{name}_gap"] = statistics.mean(gaps)
        if len(gaps) > 1:
            figures[f"mobilenet_v3_{name}_gap_error"] = statistics.stdev(gaps) / math.sqrt(len(gaps))
    return figures


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=Path, metavar="DIR", help="keep the runs there, and go on with them")


def main() -> None:
    options = harness.arguments(__doc__, data=True, add=_options)
    seeds = 1 if options.quick else 3
    rows = []
    with harness.photos(options.data) as folder, tempfile.TemporaryDirectory() as scratch:
        budgets = bounds(str(folder))
        for seed in range(seeds):
            path = (options.runs or Path(scratch)) / f"seed-{seed}"
            rows += judge(path, str(folder), budgets, {**(QUICK if options.quick else {}), "seed": seed})
            for row in rows[-len(MODELS) :]:
                print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    harness.report(figures_of(rows), rows, options.json)


if __name__ == "__main__":
    main()
