"""Are the networks that a run finds better than known ones of no fewer multiply-adds?

    python -m bench.baselines [--quick] [--json FILE] [--data FOLDER] [--runs DIR]

For each of three seeds, `narsfast run` with its defaults on the clothing photos at 64 px: one budget for torchvision's
mobilenet_v3_small and one for mobilenet_v3_large, with exactly their multiply-adds as the bound, and both as baselines:
trained on the same images for as many epochs (30), by `narsfast.pipeline.STANDARD_RECIPE`, two at a time. Each found
network is trained once more, by the standard recipe: what the found architecture is worth without its recipe.

Figures, over the seeds: mean validation and test accuracy of the found networks and of the baseline, the mean gap (found
less baseline of the same seed), and the standard error of the gap; their multiply-adds. `_recipe_gap` is the part of the
gap in test accuracy that the recipe makes (found less standard, on the found network), `_architecture_gap` the rest.
`_tau` is Kendall's, cross-validated on the trials of the search, of the predictor and of its rivals that a run has.

`--runs DIR` keeps the runs, and resumes those that are there; name the photos as a folder then, since an archive is
unpacked to another place each time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from bench import harness
from bench.trainings import Case, all_accuracies
from narsfast import pipeline
from narsfast.arch import NetworkSpec
from narsfast.cost import count_network
from narsfast.data import shared_data
from narsfast.pipeline import STANDARD_RECIPE
from narsfast.runs import RunStore

RESOLUTION = 64
MODELS = {"small": "torchvision:mobilenet_v3_small", "large": "torchvision:mobilenet_v3_large"}
OPTIONS = {"fix": {"resolution": RESOLUTION}, "pool_bounds": "macs=2M:40M", "final_epochs": 30}
QUICK = {
    "pool_size": 128,
    "ensemble_members": 1,
    "trials_per_batch": 2,
    "iterations": 1,
    "epochs": 1,
    "final_epochs": 1,
}
GAPS = {
    "validation_gap": ("found_validation", "baseline_validation"),
    "gap": ("found_test", "baseline_test"),
    "recipe_gap": ("found_test", "standard_test"),
    "architecture_gap": ("standard_test", "baseline_test"),
}


def bounds(folder: str) -> dict[str, str]:
    """Return the budget of each baseline: what it costs on these photos."""
    data = shared_data(folder, RESOLUTION)
    classes, channels = len(data.classes), data.in_chans
    found = {}
    for name, model in MODELS.items():
        network = NetworkSpec(model, RESOLUTION).build(classes)
        found[name] = f"macs={count_network(network, channels, RESOLUTION, classes)['macs']}"
    return found


def judge(
    path: Path, folder: str, budgets: Mapping[str, str], options: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Run once; return a row per baseline, with the network found for its budget beside it."""
    asked = {"data": folder, "budgets": list(budgets.values()), "baselines": list(MODELS.values())}
    results = pipeline.run(path, {**OPTIONS, **asked, **options}, workers=2)
    with RunStore.read(path) as run:
        known = {result.model: asdict(result) for result in run.facts.baselines}
        seconds = {
            trial.candidate: trial.seconds for trial in (*run.trials("final"), *run.trials("baseline"))
        }
        searched = sum(trial.seconds for trial in run.trials("search"))
        taus = {f"{name}_tau": tau for name, tau in run.facts.fits[-1].taus.items()}
        stated = {
            found.id: (found.predicted, found.std)
            for family in run.facts.families
            for found in family.candidates
        }
    by_standard = standard_accuracies(path, [result.directory for result in results], folder, options)
    rows = []
    for (name, model), result, standard in zip(MODELS.items(), results, by_standard, strict=True):
        baseline = known[model]
        if baseline["outcome"] != "ok":
            raise SystemExit(f"the training of {model} {baseline['outcome']}: {baseline['message']}")
        predicted, std = stated[result.candidate]
        rows.append(
            {
                "seed": options["seed"],
                "baseline": name,
                "found_macs": result.macs,
                "baseline_macs": baseline["macs"],
                "found_params": result.params,
                "baseline_params": baseline["params"],
                "found_predicted": predicted,
                "found_predicted_std": std,
                "found_validation": result.validation,
                "standard_validation": standard[0],
                "baseline_validation": baseline["validation"],
                "found_test": result.test,
                "standard_test": standard[1],
                "baseline_test": baseline["test"],
                "found_seconds": seconds[result.candidate],
                "baseline_seconds": seconds[model],
                "search_seconds": searched,
                **taus,
            }
        )
    return rows


def standard_accuracies(
    path: Path, directories: Sequence[str], folder: str, options: Mapping[str, Any]
) -> list[tuple[float, float]]:
    """Return validation and test accuracy of each found network by the standard recipe; they are kept in the run."""
    kept = path / "standard.json"
    if not kept.is_file():
        epochs = {**OPTIONS, **options}["final_epochs"]
        networks = [
            NetworkSpec(str(path / directory / "definition.json"), RESOLUTION) for directory in directories
        ]
        measured = all_accuracies(
            Case(network, STANDARD_RECIPE, options["seed"], epochs, folder) for network in networks
        )
        kept.write_text(json.dumps(measured) + "\n", encoding="utf-8")
    return [(validation, test) for validation, test in json.loads(kept.read_text(encoding="utf-8"))]


def figures_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return means over the seeds for each baseline, and how sure the gap is."""
    figures: dict[str, float] = {}
    for name in MODELS:
        part = [row for row in rows if row["baseline"] == name]
        for kind in ("found", "baseline"):
            for what in ("validation", "test", "macs"):
                mean = statistics.mean(row[f"{kind}_{what}"] for row in part)
                figures[f"mobilenet_v3_{name}_{kind}_{what}"] = mean
        for gap, (ours, theirs) in GAPS.items():
            gaps = [row[ours] - row[theirs] for row in part]
            figures |= harness.mean_and_error(f"mobilenet_v3_{name}_{gap}", gaps)
    one_per_seed = [row for row in rows if row["baseline"] == rows[0]["baseline"]]
    for name in (key for key in rows[0] if key.endswith("_tau")):
        figures[name] = statistics.mean(row[name] for row in one_per_seed)
    return figures


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=Path, metavar="DIR", help="keep the runs there, and resume them")


def main() -> None:
    """Run the benchmark."""
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
