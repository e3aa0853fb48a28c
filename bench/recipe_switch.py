"""Can a recipe switch the ranking of two networks, and does a recipe found for one network carry over to others?

    python -m bench.recipe_switch [--quick] [--json FILE] [--data FOLDER]

The first question is the FBNetV3 paper's Table 1 at the size of a CPU: a ResNet with 1.4 times the channels and one with
twice the blocks (`small_resnets.py`), each with two recipes. The second is its claim on transfer: the recipe that
`narsfast run --model` finds for the base network (one search, seed 0), against `narsfast.pipeline.STANDARD_RECIPE`, on
a wider network and on torchvision's mobilenet_v3_small. Clothing photos at 32 px, five seeds (--quick: two, one epoch,
a small search), test accuracy after the last epoch, two trainings at a time with one thread each. Nothing is chosen by
its outcome: the recipes are below, and a ranking that does not switch is reported as that.
"""

from __future__ import annotations

import math
import os
import statistics
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from bench import harness
from bench.trainings import Case, all_accuracies
from narsfast import pipeline
from narsfast.arch import NetworkSpec
from narsfast.pipeline import STANDARD_RECIPE
from narsfast.space import Recipe, read_recipe

RESOLUTION = 32
_FACTORIES = Path(__file__).with_name("small_resnets.py")
BASE, WIDE, DEEP = (f"{_FACTORIES}:{name}" for name in ("base", "wide", "deep"))
TRANSFERRED_TO = {"wide": WIDE, "mobilenet_v3_small": "torchvision:mobilenet_v3_small"}

PLAIN = Recipe(
    optimizer="sgd",
    learning_rate=0.05,
    sgd_factor=1.0,
    weight_decay=1e-4,
    lr_final=0.05,
    label_smoothing=0.0,
    ema=False,
    augmentation="none",
)
"""What a first script does: SGD with momentum, no augmentation, no regularization but weight decay."""

REGULARIZED = PLAIN.model_copy(
    update={"augmentation": "crop", "mixup": 0.2, "label_smoothing": 0.1, "weight_decay": 5e-4}
)
"""The same with crops, mixup and label smoothing."""

SWITCHED = {"plain": PLAIN, "regularised": REGULARIZED}
"""The recipes of the first question, by their names in the results, which keep their spelling."""


def found_recipe(data: str, quick: bool) -> Recipe:
    """Search the recipe of the base network."""
    options: dict[str, Any] = {
        "model": BASE,
        "data": data,
        "fix": {"resolution": RESOLUTION},
        "space": "mobile",
    }
    if quick:
        options |= {
            "pool_size": 64,
            "trials_per_batch": 2,
            "iterations": 2,
            "epochs": 1,
            "final_epochs": 1,
            "finalists": 1,
            "ensemble_members": 1,
        }
    else:
        options |= {"trials_per_batch": 8, "iterations": 3, "epochs": 6, "final_epochs": 12, "finalists": 1}
    with tempfile.TemporaryDirectory() as scratch:
        (result,) = pipeline.run(Path(scratch, "run"), options, workers=2)
        return read_recipe(Path(scratch, "run", result.directory, "recipe.json"))


def gap(first: list[float], second: list[float]) -> tuple[float, float]:
    """Return the mean of the first minus that of the second, and its standard error."""
    error = math.sqrt(sum(statistics.variance(values) / len(values) for values in (first, second)))
    return statistics.mean(first) - statistics.mean(second), error


def main() -> None:
    """Run the benchmark."""
    options = harness.arguments(__doc__, data=True)
    seeds, epochs = (2, 1) if options.quick else (5, 12)
    with harness.photos(options.data) as folder:
        data = str(folder)
        found = found_recipe(data, options.quick)
        cases = [
            ("switch", name, model, kind, recipe)
            for name, model in (("wide", WIDE), ("deep", DEEP))
            for kind, recipe in SWITCHED.items()
        ]
        cases += [
            ("transfer", name, model, kind, recipe)
            for name, model in TRANSFERRED_TO.items()
            for kind, recipe in (("standard", STANDARD_RECIPE), ("found", found))
        ]
        measured = iter(
            all_accuracies(
                Case(NetworkSpec(model, RESOLUTION), recipe, seed, epochs, data)
                for _, _, model, _, recipe in cases
                for seed in range(seeds)
            )
        )
    rows: list[dict[str, Any]] = []
    by_case: dict[tuple[str, str, str], list[float]] = {}
    for question, name, _, kind, recipe in cases:
        values = [test for _, test in islice(measured, seeds)]
        by_case[question, name, kind] = values
        common = {"question": question, "network": name, "recipe": kind, "epochs": epochs}
        rows.append(
            common
            | {
                "test_accuracies": values,
                "mean": statistics.mean(values),
                "fields": recipe.model_dump(mode="json"),
            }
        )
    harness.report(_figures(by_case), rows, options.json)


def _figures(by_case: dict[tuple[str, str, str], list[float]]) -> dict[str, float]:
    """Return gaps in points with their standard errors, and whether the ranking switched (1) or not (0)."""
    figures: dict[str, float] = {}
    signs = []
    for kind in SWITCHED:
        points, error = gap(by_case["switch", "wide", kind], by_case["switch", "deep", kind])
        figures |= {f"wide_over_deep_{kind}": points, f"wide_over_deep_{kind}_error": error}
        signs.append(points > 0)
    figures["ranking_switched"] = float(signs[0] != signs[1])
    for name in TRANSFERRED_TO:
        points, error = gap(by_case["transfer", name, "found"], by_case["transfer", name, "standard"])
        figures |= {f"found_over_standard_{name}": points, f"found_over_standard_{name}_error": error}
    return figures


if __name__ == "__main__":
    main()
