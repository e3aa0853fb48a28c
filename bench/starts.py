"""What do children gain from a parent that was fine-tuned on the photos first, and from few blocks with more channels?

    python -m bench.starts [--quick] [--json FILE] [--data FOLDER] [--runs DIR] [--seeds N]

The children are those that a run from EfficientNet-Lite0 trains first under 8 and 16 million multiply-adds: the parent
as it is at a smaller resolution, the evenly shrunk one with all blocks, and the evenly shrunk one with two blocks of a
stage at most. Each is trained by the default recipe for as long as a trial and as a final training, from the weights
that were downloaded, and from those of the parent after as long a fine-tuning as a trial at 64 px. A seed (three unless
said otherwise) is also a split of the clothing photos, none of those of `bench.finetune`.

Figures, the mean of validation and test accuracy in percent with the standard error over the seeds:
`trial_8M_shallow_tuned` and so on, and `tuned_over_downloaded_trial`, `tuned_over_downloaded_final`, means over the
children that are shrunk. `--runs DIR` keeps what was trained, and goes on from there.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from bench import harness
from bench.finetune import ARCHIVES, PARENT, SIDE, Kept, draw_split, unpacked
from bench.trainings import Case, all_accuracies, starts_of
from narsfast import pipeline
from narsfast.arch import NetworkSpec, load_pretrained, specs_of
from narsfast.cost import Budget, Counter
from narsfast.data import shared_data
from narsfast.pipeline._anchors import anchors
from narsfast.space import default_recipe
from narsfast.training import default_epochs

BUDGETS = {"8M": 8_000_000, "16M": 16_000_000}
TUNED_FOR = (Budget(macs=32_000_000),)
"""The parent is tuned at the largest resolution at which it keeps this, as by a run that has this budget too."""
KINDS = ("whole", "even", "shallow")
FIRST_SEED = 101


def children() -> dict[str, NetworkSpec]:
    """Return the networks to train, by budget and kind, as in ``8M_shallow``."""
    space = pipeline.children_space([PARENT])
    counter = Counter(space, 3, 10)
    found: dict[str, NetworkSpec] = {}
    for name, macs in BUDGETS.items():
        genes, _ = anchors(counter, [Budget(macs=macs)])
        specs = specs_of(space, space.decode(genes))
        found |= {f"{name}_{kind}": spec for kind, spec in zip(KINDS, specs, strict=True)}
    return found


def judge_seed(seed: int, photos: Path, folder: Path, quick: bool) -> list[dict[str, Any]]:
    """Train every child from both starts; return a row per training."""
    kept = Kept(folder)
    data = str(draw_split(photos, folder / "photos.csv", seed))
    images = len(shared_data(data, SIDE).train)
    lengths = {
        purpose: 1 if quick else default_epochs(images, "parent", purpose) for purpose in ("trial", "final")
    }
    prepared = shared_data(data, SIDE).prepared(load_pretrained(PARENT).preparation)
    downloaded, tuned = starts_of(PARENT, prepared, TUNED_FOR, lengths["trial"], seed, folder)
    starts = {"downloaded": downloaded, "tuned": tuned}
    cases = {
        (purpose, child, start): Case(
            network,
            default_recipe("finetune"),
            seed,
            epochs,
            data,
            SIDE,
            given,
            load_pretrained(PARENT).preparation,
        )
        for purpose, epochs in lengths.items()
        for child, network in children().items()
        for start, given in starts.items()
    }
    rows = []
    for purpose in lengths:
        mine = {keys: case for keys, case in cases.items() if keys[0] == purpose}
        trained = kept(purpose, lambda mine=mine: all_accuracies(mine.values()))
        for (_, child, start), (validation, test) in zip(mine, trained, strict=True):
            rows.append(
                {
                    "seed": seed,
                    "length": purpose,
                    "child": child,
                    "start": start,
                    "validation": validation,
                    "test": test,
                }
            )
    return rows


def figures_of(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return means over the seeds with their errors."""
    seeds = sorted({row["seed"] for row in rows})
    found = {
        (row["length"], row["child"], row["start"], row["seed"]): (row["validation"] + row["test"]) / 2
        for row in rows
    }
    figures: dict[str, float] = {}
    for length, child, start in dict.fromkeys(keys[:3] for keys in found):
        values = [found[length, child, start, seed] for seed in seeds]
        figures |= harness.mean_and_error(f"{length}_{child}_{start}", values)
    for length in ("trial", "final"):
        shrunk = {keys[1] for keys in found if not keys[1].endswith("whole")}
        gaps = [
            statistics.mean(
                found[length, child, "tuned", seed] - found[length, child, "downloaded", seed]
                for child in shrunk
            )
            for seed in seeds
        ]
        figures |= harness.mean_and_error(f"tuned_over_downloaded_{length}", gaps)
    return figures


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runs", type=Path, metavar="DIR", help="keep what is trained there, and go on from it"
    )
    parser.add_argument("--seeds", type=int, default=3, help="seeds, each with a split of its own")


def main() -> None:
    """Run the benchmark."""
    options = harness.arguments(__doc__, data=True, add=_options)
    with tempfile.TemporaryDirectory() as scratch:
        runs = (options.runs or Path(scratch)).absolute()
        runs.mkdir(parents=True, exist_ok=True)
        photos = unpacked(options.data / ARCHIVES["clothing"], runs / "clothing-photos")
        rows: list[dict[str, Any]] = []
        for seed in range(FIRST_SEED, FIRST_SEED + (1 if options.quick else options.seeds)):
            rows += judge_seed(seed, photos, runs / f"starts-{seed}", options.quick)
            for row in rows[-2 * 2 * len(BUDGETS) * len(KINDS) :]:
                print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    harness.report(figures_of(rows), rows, options.json)


if __name__ == "__main__":
    main()
