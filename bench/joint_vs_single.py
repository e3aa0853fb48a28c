"""Is it worth searching architecture and recipe together, rather than one of them alone?

    python -m bench.joint_vs_single [--quick] [--json FILE] [--data FOLDER] [--runs DIR] [--on DATA] [--seeds N]
        [--workers N]

On the digits and the clothing photos, for each of three seeds, three runs of `narsfast run` with the same data, pool
bounds, budget, seed and number of trainings, all in the space `tiny` at 32 px:

- `joint`: every field is searched.
- `architecture_only`: each field of the recipe is fixed to the middle of its values, as in `tabular/searches.py`: the
  lower one of two, so that a choice such as the optimizer takes its first value.
- `recipe_only`: the architecture is fixed to the candidate of the joint run's pool that is nearest to the middle of
  every field, among those inside the budget, by Euclidean distance of the features. Each seed fixes a different one,
  and it may use less than the budget allows.

The pool lies inside the budget, so that no search trains what it could not emit. The joint run has a second, smaller
budget for the swap: each of its two networks is trained with its own recipe and with the other's, all four with the
same seed and the final number of epochs. That second network takes no part in the comparison, nor its training.

Figures: mean test accuracy of each search, mean gap of joint less each other (of the same seed), and mean loss by a
swapped recipe, in points, with standard errors over the seeds. About 40 minutes on two cores; --quick
is one seed on the digits with the smallest of trainings, which says nothing about the question.

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
from contextlib import nullcontext
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np

from bench import harness
from bench.trainings import Case, all_accuracies
from narsfast import pipeline
from narsfast.arch import NetworkSpec
from narsfast.common.seeds import derive_seed
from narsfast.cost import Budget, Counter
from narsfast.data import shared_data
from narsfast.pipeline import resolve_config
from narsfast.runs import RunStore
from narsfast.search import Pool, sample_pool
from narsfast.space import Genes, Part, Space, read_recipe

RESOLUTION = 32
DATA = ("digits", "clothing")
SEARCHES = ("joint", "architecture_only", "recipe_only")
BUDGET, SMALLER = "macs=4M", "macs=1M"
OPTIONS: dict[str, Any] = {
    "space": "tiny",
    "pool_bounds": "macs=0.5M:4M",
    "trials_per_batch": 6,
    "iterations": 3,
    "epochs": 6,
    "final_epochs": 20,
    "finalists": 1,
}
QUICK = {
    "pool_size": 128,
    "ensemble_members": 1,
    "trials_per_batch": 2,
    "iterations": 2,
    "epochs": 1,
    "final_epochs": 1,
    "finalists": 1,
}


# What is fixed


def middle(space: Space) -> Genes:
    """Return canonical genes (1, F): the middle of each field's values, the lower one of two."""
    return space.canonical(((space.sizes - 1) // 2)[None])


def fixed_to(space: Space, genes: Genes, part: Part) -> dict[str, Any]:
    """Return the fields of a part at the values of genes (1, F), as `--fix` takes them; inactive ones at their first."""
    columns = space.architecture_fields if part == "architecture" else space.recipe_fields
    return {space.fields[c].name: space.fields[c].values[genes[0, c]] for c in columns}


def nearest_to_middle(counter: Counter, pool: Pool, budget: Budget) -> Genes:
    """Return the pool's first candidate (1, F) inside the budget whose architecture is nearest to the middle."""
    space = counter.space
    inside = pool.genes[budget.within(pool.statistics, counter.names)]
    far = space.features(inside, "architecture") - space.features(middle(space), "architecture")
    return inside[[int(np.argmin(np.square(far).sum(axis=1)))]]


def fixed(search: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a search fixes, given the options of the joint run."""
    config = resolve_config(options)
    space = Space.from_dict(config.space)
    if search == "architecture_only":
        return fixed_to(space, middle(space), "recipe")
    if search == "recipe_only":
        data = shared_data(config.data, RESOLUTION)
        counter = Counter(space, data.in_chans, len(data.classes))
        bounds = Budget.parse(str(config.pool_bounds))
        pool = sample_pool(counter, bounds, config.pool_size, derive_seed(config.seed, "pool"))
        return fixed_to(space, nearest_to_middle(counter, pool, Budget.parse(BUDGET)), "architecture")
    return {}


# What is measured


def judge(path: Path, search: str, options: Mapping[str, Any], workers: int) -> dict[str, Any]:
    """Run a search; return what came out for the budget."""
    budgets = [BUDGET, SMALLER] if search == "joint" else [BUDGET]
    asked = {**options, "budgets": budgets, "fix": fixed(search, options)}
    result = pipeline.run(path, asked, workers=workers)[0]
    with RunStore.read(path) as run:
        searched = run.trials("search")
        final = next(trial for trial in run.trials("final") if trial.candidate == result.candidate)
    return {
        "search": search,
        "seed": options["seed"],
        "test": result.test,
        "validation": result.validation,
        "macs": result.macs,
        "params": result.params,
        "trainings": len(searched),
        "epochs": sum(trial.epochs for trial in searched),
        "final_epochs": final.epochs,
        "seconds": sum(trial.seconds for trial in searched) + final.seconds,
    }


def swap(path: Path, options: Mapping[str, Any], workers: int) -> dict[str, Any]:
    """Return test accuracies of a joint run's two networks, each with its own recipe and with the other's.

    They are kept in the run. There are none where both have one recipe: there is nothing to swap.
    """
    row: dict[str, Any] = {"search": "swap", "seed": options["seed"]}
    with RunStore.read(path) as run:
        folders = [path / result.directory for result in run.results()]
    recipes = [read_recipe(folder / "recipe.json") for folder in folders]
    if recipes[0] == recipes[1]:
        return row | {"equal_recipes": True}
    kept = path / "swap.json"
    if not kept.is_file():
        cases = [
            Case(
                NetworkSpec(str(folder / "definition.json"), RESOLUTION),
                recipe,
                options["seed"],
                options["final_epochs"],
                options["data"],
            )
            for folder in folders
            for recipe in recipes
        ]
        tests = [test for _, test in all_accuracies(cases, workers)]
        names = ("large_own", "large_swapped", "small_swapped", "small_own")
        kept.write_text(json.dumps(dict(zip(names, tests, strict=True))) + "\n", encoding="utf-8")
    return row | {"equal_recipes": False} | json.loads(kept.read_text(encoding="utf-8"))


def measure(
    runs: Path, data: str, folder: str, seed: int, options: Mapping[str, Any], workers: int
) -> list[dict[str, Any]]:
    """Make the three searches and the swap of one seed, a row each."""
    asked = {**options, "data": folder, "seed": seed}
    rows = [judge(runs / f"{data}-{seed}-{search}", search, asked, workers) for search in SEARCHES]
    rows.append(swap(runs / f"{data}-{seed}-joint", asked, workers))
    return [{"data": data, **row} for row in rows]


# What it says


def figures_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return means over the seeds for each data set, with the standard errors of the gaps if there are several seeds."""
    figures: dict[str, float] = {}
    for data in dict.fromkeys(row["data"] for row in rows):
        mine = [row for row in rows if row["data"] == data]
        tests = {search: [row["test"] for row in mine if row["search"] == search] for search in SEARCHES}
        figures |= {f"{data}_{search}_test": statistics.mean(values) for search, values in tests.items()}
        for part in ("architecture", "recipe"):
            gaps = [a - b for a, b in zip(tests["joint"], tests[f"{part}_only"], strict=True)]
            figures |= harness.mean_and_error(f"{data}_joint_minus_{part}", gaps)
        losses = [_swap_loss(row) for row in mine if row["search"] == "swap" and not row["equal_recipes"]]
        if losses:
            figures |= harness.mean_and_error(f"{data}_swap_loss", losses)
    return figures


def _swap_loss(row: Mapping[str, Any]) -> float:
    """Return own less swapped, mean of the two networks."""
    return statistics.mean(row[f"{size}_own"] - row[f"{size}_swapped"] for size in ("large", "small"))


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=Path, metavar="DIR", help="keep the runs there, and resume them")
    parser.add_argument("--on", nargs="+", choices=DATA, help="data sets (default: both, quick: digits)")
    parser.add_argument("--seeds", type=int, default=None, help="(default: 3, quick: 1)")
    parser.add_argument("--workers", type=int, default=2, help="trainings at once (default: 2)")


def _on(options: argparse.Namespace) -> Sequence[str]:
    return options.on or (DATA[:1] if options.quick else DATA)


def _reads_photos(options: argparse.Namespace) -> bool:
    return "clothing" in _on(options)


def main() -> None:
    """Run the benchmark."""
    options = harness.arguments(__doc__, data=_reads_photos, add=_options)
    asked = {**OPTIONS, **(QUICK if options.quick else {})}
    seeds = options.seeds or (1 if options.quick else 3)
    photos = harness.photos(options.data) if _reads_photos(options) else nullcontext(None)
    rows: list[dict[str, Any]] = []
    with photos as folder, tempfile.TemporaryDirectory() as scratch:
        for data in _on(options):
            for seed in range(seeds):
                place = "digits" if data == "digits" else str(folder)
                rows += measure(options.runs or Path(scratch), data, place, seed, asked, options.workers)
                for row in rows[-len(SEARCHES) - 1 :]:
                    print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    harness.report(figures_of(rows), rows, options.json)


if __name__ == "__main__":
    main()
