"""Are networks that start from a pretrained parent better than the parent itself at the same cost, and than scratch?

    python -m bench.finetune [--quick] [--json FILE] [--data FOLDER] [--runs DIR] [--photos NAME] [--pairs N]
                             [--no-scratch | --stock | --importance | --recipes]

A pair is a split of the photos (drawn anew, stratified: 40 % to train on, 10 % to validate, half of them to test, so
that the test is not noisier than the trainings) and the seed of everything that is trained on it; five pairs unless said
otherwise, numbered from 1 (the split of 0 was looked at while this was developed). In each pair, with EfficientNet-Lite0
and its ImageNet weights:

- found: `narsfast run --parent efficientnet_lite0` under 8, 16 and 32 million multiply-adds: 24 trials and one final
  training a budget, at the default lengths.
- stock: for each budget the parent as it is at the largest resolution that keeps it (a multiple of 4), by the default
  recipe of fine-tuning and by 8 random recipes of the same space (8 for each budget that has this resolution), each for
  as many epochs as a trial; the best of these by validation and the default recipe are then trained as long as a final
  training, and the better one by validation is tested. So both sides have 24 short trainings.
- scratch: `narsfast run` in the space `mobile` at 64 px under 16 million, 24 trials of 12 epochs, 30 final ones.
- equal epochs: the network found for 16 million by its own recipe and length, from fresh weights.

Figures, points of test accuracy with the standard error over the pairs: `found_over_stock_macs_8M` and so on,
`found_over_scratch`, `inherit_over_scratch_equal_epochs`. `inherit_ms` is the median time to inherit a child's weights
from the parent's, `fitted_ms` with moments that were measured (`narsfast.arch.Parent.measured`), one thread.

`--importance` asks instead how channels are to be chosen: a child with half of the hidden channels at 64 px, three
epochs by the default recipe, three seeds, by each importance and by moments; 80 % of the photos to train on. `--recipes`
asks what a field of the recipe is worth: the same child by the default recipe with one thing changed, six epochs, three
seeds, from the parent after as long a fine-tuning. `--runs DIR` keeps what was trained, and goes on from there, and from
what is in `bench/results/finetune_pairs`. `--stock` trains that side alone, which no change of the search changes. The
weights are those of the extra `pretrained`.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch

from bench import harness
from bench.trainings import Case, all_accuracies, starts_of
from narsfast import pipeline
from narsfast.arch import (
    Family,
    Importance,
    Inheritance,
    NetworkSpec,
    Parent,
    create_model,
    load_pretrained,
    read_definition,
)
from narsfast.cost import Budget, count_definitions
from narsfast.data import shared_data
from narsfast.space import Recipe, default_recipe
from narsfast.training import (
    InheritedStart,
    TrainerSettings,
    default_epochs,
    evaluate,
    first_images,
    train_network,
)

PARENT = "efficientnet_lite0"
ARCHIVES = {"clothing": "clothing_small_144.tar.gz", "signs": "sign_digits_100.tar.gz"}
RESULTS = Path(__file__).parent / "results" / "finetune_pairs"
"""What came out of pairs: a folder each, of one run of the benchmark or several."""
VALIDATION, TEST = 0.1, 0.5
"""Shares of the photos."""
SIDE = 144
"""Shorter side of the photos: they are read as they are, whatever the resolution of a training."""
BUDGETS = {"8M": 8_000_000, "16M": 16_000_000, "32M": 32_000_000}
SCRATCH = {
    "budgets": ["macs=16M"],
    "pool_bounds": "macs=4M:16M",
    "fix": {"resolution": 64},
    "space": "mobile",
}
RECIPES = 8
HALF = {"resolution": 64} | {f"stage{number}.hidden": 50 for number in range(1, 8)}
CHANGES: dict[str, dict[str, Any]] = {
    "the default": {},
    **{f"AdamW at {0.06 * rate:g}": {"learning_rate": rate} for rate in (0.005, 0.0125, 0.025, 0.1, 0.2)},
    **{f"SGD at {rate:g}": {"optimizer": "sgd", "learning_rate": rate} for rate in (0.03, 0.06, 0.1)},
    **{
        f"{name} {value}": {name: value}
        for name, value in (
            ("weight_decay", 1e-5),
            ("weight_decay", 1e-3),
            ("layer_decay", 0.9),
            ("head_factor", 3.0),
            ("batch_size", 32),
            ("mixup", 0.2),
            ("drop_path", 0.2),
            ("dropout", 0.2),
            ("label_smoothing", 0.0),
            ("augmentation", "trivialaugment"),
            ("erasing", 0.25),
            ("epochs_share", 0.5),
            ("train_resolution", 0.75),
        )
    },
    "ema with 0.99": {"ema": True, "ema_decay": 0.99},
    "randaugment, strength 9": {"augmentation": "randaugment", "augmentation_strength": 9},
    "frozen 0.4 until 0.5": {"frozen": 0.4, "frozen_until": 0.5},
}
"""What is changed of the default recipe of fine-tuning."""
QUICK = {"pool_size": 64, "ensemble_members": 1, "trials_per_batch": 3, "iterations": 1, "epochs": 1}


class Kept:
    """Results that are computed once: a JSON file of the folder each.

    Args:
        folder: Of the files.
        known: A folder of files that are there before; None is none.
    """

    def __init__(self, folder: Path, known: Path | None = None) -> None:
        self.folder = folder
        self._known = known
        folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, name: str, compute: Callable[[], Any]) -> Any:
        """Return what the file `name` holds; where there is none, what is computed and written there."""
        file = self.folder / f"{name}.json"
        if not file.is_file() and self._known is not None and (self._known / file.name).is_file():
            shutil.copyfile(self._known / file.name, file)
        if not file.is_file():
            file.write_text(json.dumps(compute()) + "\n", encoding="utf-8")
        return json.loads(file.read_text(encoding="utf-8"))


def unpacked(archive: Path, folder: Path) -> Path:
    """Unpack an archive into a folder, unless it is there, and return the folder."""
    if not folder.is_dir():
        unfinished = Path(tempfile.mkdtemp(dir=folder.parent))
        with tarfile.open(archive) as packed:
            packed.extractall(unfinished, filter="data")
        unfinished.rename(folder)
    return folder


def draw_split(photos: Path, table: Path, seed: int, test: float = TEST) -> Path:
    """Write a table of all photos below a folder with a new split, by these shares within each class."""
    if not table.is_file():
        random = np.random.default_rng(seed)
        by_class: dict[str, list[Path]] = {}
        for file in sorted(photos.rglob("*.jp*g"), key=lambda file: (file.parent.name, file.name)):
            by_class.setdefault(file.parent.name, []).append(file)
        with table.open("w", newline="", encoding="utf-8") as opened:
            writer = csv.writer(opened)
            writer.writerow(["path", "label", "split"])
            for label, files in by_class.items():
                val, tested = round(VALIDATION * len(files)), round(test * len(files))
                for place, number in enumerate(random.permutation(len(files))):
                    split = "val" if place < val else "test" if place < val + tested else "train"
                    writer.writerow([files[number], label, split])
    return table


class Stock:
    """The parent as it is, on the photos of one pair."""

    def __init__(
        self, parent: Parent, data: str, seed: int, epochs: int, final_epochs: int, file: Path
    ) -> None:
        self.parent, self.data, self.seed = parent, data, seed
        self.epochs, self.final_epochs = epochs, final_epochs
        self.start = InheritedStart(str(file))
        if not file.is_file():
            parent.save(file)

    def resolution(self, macs: int) -> int:
        """Return the largest resolution, a multiple of 4, at which the parent keeps a budget."""
        classes = len(shared_data(self.data, SIDE).classes)
        sides = range(16, self.parent.resolution + 1, 4)
        definition = self.parent.definition
        assert definition is not None
        counted = count_definitions(
            [definition.model_copy(update={"resolution": side}) for side in sides], 3, classes
        )
        return max(side for side, (cost, *_) in zip(sides, counted.tolist(), strict=True) if cost <= macs)

    def case(self, resolution: int, recipe: Recipe, epochs: int) -> Case:
        """Return one training."""
        network = self.parent.spec(resolution)
        return Case(network, recipe, self.seed, epochs, self.data, SIDE, self.start, self.parent.preparation)

    def judge(self, resolution: int, count: int) -> dict[str, Any]:
        """Return the accuracies of the default recipe and of the best of random ones, and which is better."""
        recipes = random_recipes(count, self.seed)
        short = all_accuracies(self.case(resolution, recipe, self.epochs) for recipe in recipes)
        best = max(range(count), key=lambda place: short[place][0])
        finals = {"default": default_recipe("finetune"), "random": recipes[best]}
        tested = all_accuracies(
            self.case(resolution, recipe, self.final_epochs) for recipe in finals.values()
        )
        better = max(range(2), key=lambda place: tested[place][0])
        return {
            "stock_resolution": resolution,
            "stock_short": [validation for validation, _ in short],
            "stock_default_test": tested[0][1],
            "stock_random_test": tested[1][1],
            "stock_random_recipe": recipes[best].model_dump(mode="json"),
            "stock_validation": tested[better][0],
            "stock_test": tested[better][1],
        }


def random_recipes(count: int, seed: int) -> list[Recipe]:
    """Draw recipes of fine-tuning."""
    space = pipeline.children_space([PARENT])
    genes = np.stack([space.sobol(1, 1000 * seed + number)[0] for number in range(count)])
    return [Recipe.of(candidate.recipe) for candidate in space.decode(genes)]


def judge_pair(
    pair: int, photos: Path, folder: Path, options: Mapping[str, Any], count: int, sides: Collection[str]
) -> list[dict[str, Any]]:
    """Train the wanted sides of one pair, stock, found and scratch; return a row per budget where all are there."""
    kept = Kept(folder, None if options else RESULTS / folder.name)
    data = str(draw_split(photos, folder / "photos.csv", pair))
    images = len(shared_data(data, SIDE).train)
    epochs = options.get("epochs", default_epochs(images, "parent", "trial"))
    final_epochs = options.get("final_epochs", default_epochs(images, "parent", "final"))
    parent = load_pretrained(PARENT)
    stock = Stock(parent, data, pair, epochs, final_epochs, folder / "parent.safetensors")
    asked = {"data": data, "parents": [PARENT], "budgets": [f"macs={macs}" for macs in BUDGETS.values()]}

    def found() -> list[dict[str, Any]]:
        results = pipeline.run(folder / "found", {**asked, "seed": pair, **options}, workers=2)
        return [asdict(result) for result in results]

    at = [stock.resolution(macs) for macs in BUDGETS.values()]
    if "stock" in sides:
        for side in dict.fromkeys(at):
            kept(f"stock-{side}", lambda side=side: stock.judge(side, count * at.count(side)))
    if "found" not in sides:
        return []
    rows = []
    results = kept("found", found)
    for name, side, result in zip(BUDGETS, at, results, strict=True):
        row = {
            "pair": pair,
            "budget": name,
            "found_macs": result["macs"],
            "found_validation": result["validation"],
            "found_test": result["test"],
        }
        rows.append(row | kept(f"stock-{side}", lambda: {}))
    middle = next(result for row, result in zip(rows, results, strict=True) if row["budget"] == "16M")

    def fresh() -> float:
        network = folder / "found" / middle["directory"]
        recipe = Recipe.of(json.loads((network / "recipe.json").read_text(encoding="utf-8")))
        definition = read_definition(network / "definition.json")
        case = Case(
            NetworkSpec.of(definition), recipe, pair, final_epochs, data, SIDE, None, parent.preparation
        )
        return all_accuracies([case])[0][1]

    rows[1]["equal_epochs_test"] = kept("fresh", fresh)
    if "scratch" in sides:

        def from_scratch() -> float:
            given = {name: value for name, value in options.items() if name not in ("epochs", "final_epochs")}
            given = {**SCRATCH, **given, "data": data, "seed": pair}
            if options:
                given |= {"epochs": 1, "final_epochs": 1}
            return pipeline.run(folder / "scratch", given, workers=2)[0].test

        rows[1]["scratch_test"] = kept("scratch-result", from_scratch)
    return rows


def figures_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return mean differences over the pairs with their errors."""
    figures: dict[str, float] = {}
    for name in BUDGETS:
        part = [row for row in rows if row["budget"] == name]
        gaps = [row["found_test"] - row["stock_test"] for row in part]
        figures |= harness.mean_and_error(f"found_over_stock_macs_{name}", gaps)
        figures[f"found_test_{name}"] = statistics.mean(row["found_test"] for row in part)
        figures[f"stock_test_{name}"] = statistics.mean(row["stock_test"] for row in part)
    for name, rival in (
        ("found_over_scratch", "scratch_test"),
        ("inherit_over_scratch_equal_epochs", "equal_epochs_test"),
    ):
        gaps = [row["found_test"] - row[rival] for row in rows if rival in row]
        if gaps:
            figures |= harness.mean_and_error(name, gaps)
    figures["pairs"] = len({row["pair"] for row in rows})
    return figures


def inherit_seconds(data: str, repeats: int = 15) -> dict[str, float]:
    """Return the median time to inherit, in milliseconds."""
    torch.set_num_threads(1)
    parent = load_pretrained(PARENT)
    assert parent.definition is not None
    child = Family(parent.definition).child(HALF)
    moments = parent.measured(first_images(shared_data(data, SIDE).prepared(parent.preparation), 64))
    inheritance = Inheritance(parent.definition, child)
    inheritance(parent.weights, moments=moments)  # finds the order of the channels

    def median(given: Any) -> float:
        taken = []
        for _ in range(repeats):
            began = time.perf_counter()
            Inheritance(parent.definition, child)(parent.weights, moments=given)  # type: ignore[arg-type]
            taken.append(1000 * (time.perf_counter() - began))
        return statistics.median(taken)

    return {"inherit_ms": median(None), "fitted_ms": median(moments)}


def judge_importance(data: str, kept: Kept, seeds: int, epochs: int) -> list[dict[str, Any]]:
    """Train a child with half of the hidden channels, chosen in each way."""
    ways: tuple[Importance | None, ...] = (None, "l1", "scaled", "norm", "random")
    return [
        {
            "chosen_by": way or "moments",
            "seed": seed,
            **kept(f"importance-{way}-{seed}", lambda way=way, seed=seed: _of_child(data, way, seed, epochs)),
        }
        for seed in range(seeds)
        for way in ways
    ]


def _of_child(data: str, way: Importance | None, seed: int, epochs: int) -> dict[str, float]:
    parent = load_pretrained(PARENT)
    assert parent.definition is not None
    child = Family(parent.definition).child(HALF)
    photos = shared_data(data, SIDE).prepared(parent.preparation)

    def build() -> torch.nn.Module:
        network = create_model(child, len(photos.classes), photos.in_chans)
        if way is None:
            parent.give(network, lambda: first_images(photos, 64))
            return network
        own = network.state_dict()
        weights = Inheritance(parent.definition, child)(parent.weights, importance=way, seed=seed)  # type: ignore[arg-type]
        network.load_state_dict({**weights, **{name: own[name] for name in parent.classifier}})
        return network

    settings = TrainerSettings(device="cpu", threads_per_trial=1)
    recipe = default_recipe("finetune")
    result = train_network(
        build, 64, recipe, photos, epochs=epochs, seed=seed, settings=settings, keep_network=True
    )
    if result.network is None:
        return {"validation": photos.chance, "test": photos.chance}
    tested = evaluate(result.network, photos.test, 64, threads=1).accuracy
    return {"validation": result.curve[-1], "test": tested}


def judge_recipes(data: str, kept: Kept, seeds: int, epochs: int) -> list[dict[str, Any]]:
    """Train a child with half of the hidden channels by each recipe and seed, from the parent after a fine-tuning."""
    parent = load_pretrained(PARENT)
    assert parent.definition is not None
    photos = shared_data(data, SIDE).prepared(parent.preparation)
    largest = (Budget(macs=max(BUDGETS.values())),)
    _, start = starts_of(PARENT, photos, largest, epochs, 0, kept.folder)
    network = NetworkSpec.of(Family(parent.definition).child(HALF))
    rows = []
    for seed in range(seeds):
        cases = [
            Case(network, recipe, seed, epochs, data, SIDE, start, parent.preparation)
            for recipe in (
                default_recipe("finetune").model_copy(update=change) for change in CHANGES.values()
            )
        ]
        found = kept(f"seed-{seed}", lambda cases=cases: all_accuracies(cases))
        for name, (validation, test) in zip(CHANGES, found, strict=True):
            rows.append({"recipe": name, "seed": seed, "validation": validation, "test": test})
    return rows


def over_default(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Return by how many points each recipe is better than the default with all photos counted alike, seed by seed."""
    found = {
        (row["recipe"], row["seed"]): (VALIDATION * row["validation"] + TEST * row["test"])
        / (VALIDATION + TEST)
        for row in rows
    }
    default, *others = dict.fromkeys(recipe for recipe, _ in found)
    seeds = sorted({seed for _, seed in found})
    return {name: [found[name, seed] - found[default, seed] for seed in seeds] for name in others}


def recipe_figures(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the accuracy of the default on the test photos, and what the best other recipe gains."""
    default = rows[0]["recipe"]
    gaps = over_default(rows)
    best = max(gaps.values(), key=statistics.mean)
    tested = [row["test"] for row in rows if row["recipe"] == default]
    return harness.mean_and_error("default_test", tested) | harness.mean_and_error("best_over_default", best)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runs", type=Path, metavar="DIR", help="keep what is trained there, and go on from it"
    )
    parser.add_argument("--photos", choices=ARCHIVES, default="clothing", help="which photos")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of split and seed")
    parser.add_argument("--no-scratch", action="store_true", help="leave out our own run from scratch")
    parser.add_argument("--stock", action="store_true", help="train the parent as it is alone")
    parser.add_argument("--importance", action="store_true", help="compare how channels are chosen")
    parser.add_argument("--recipes", action="store_true", help="compare recipes with one thing changed")


def main() -> None:
    """Run the benchmark."""
    options = harness.arguments(__doc__, data=True, add=_options)
    with tempfile.TemporaryDirectory() as scratch:
        runs = (options.runs or Path(scratch)).absolute()
        runs.mkdir(parents=True, exist_ok=True)
        photos = unpacked(options.data / ARCHIVES[options.photos], runs / f"{options.photos}-photos")
        rows: list[dict[str, Any]] = []
        if options.importance:
            data = str(draw_split(photos, Kept(runs).folder / f"{options.photos}-80.csv", 0, VALIDATION))
            seeds, epochs = (1, 1) if options.quick else (3, 3)
            rows = judge_importance(data, Kept(runs / f"importance-{options.photos}"), seeds, epochs)
            figures = {}
            for way in dict.fromkeys(row["chosen_by"] for row in rows):
                tests = [row["test"] for row in rows if row["chosen_by"] == way]
                figures |= harness.mean_and_error(f"test_{way}", tests)
        elif options.recipes:
            data = str(draw_split(photos, Kept(runs).folder / f"{options.photos}.csv", 0))
            seeds, epochs = (1, 1) if options.quick else (3, 6)
            rows = judge_recipes(data, Kept(runs / f"recipes-{options.photos}"), seeds, epochs)
            figures = recipe_figures(rows)
        else:
            count, quick = (2, {**QUICK, "final_epochs": 1}) if options.quick else (RECIPES, {})
            sides = (
                ["stock"]
                if options.stock
                else ["stock", "found", "scratch"][: 2 if options.no_scratch else 3]
            )
            for pair in range(1, 2 if options.quick else 1 + options.pairs):
                folder = runs / f"{options.photos}-{pair}"
                judged = judge_pair(pair, photos, folder, quick, count, sides)
                rows += judged
                for row in judged:
                    shown = {name: value for name, value in row.items() if not isinstance(value, list | dict)}
                    print("  ".join(f"{name} {value}" for name, value in shown.items()), flush=True)
            figures = figures_of(rows) if rows else {}
            figures |= inherit_seconds(str(runs / f"{options.photos}-1" / "photos.csv"))
    harness.report(figures, rows, options.json)


if __name__ == "__main__":
    main()
