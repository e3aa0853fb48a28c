"""Do the fused kernels train to the same accuracy as torch's modules?

    python -m bench.ops_accuracy [--quick] [--seeds N] [--json FILE] [--data DIR]

One random candidate of the space `mobile` at 64 px with a recipe near the middle of its ranges, trained on the clothing
photos with both kinds of ops from the same seeds, two trainings at a time with one thread each. Figures: means of the
accuracies over the seeds; the gap of a seed, fused less torch, of both splits and of the last epoch's training loss:
its mean, and the standard error of that.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from bench import harness
from narsfast.arch import Definition, NetworkSpec, definition_of
from narsfast.cost import Counter
from narsfast.data import shared_data
from narsfast.space import Recipe, load_space
from narsfast.training import TrainerSettings, evaluate, train

OPS = ("fused", "torch")
RESOLUTION = 64
MACS = (4_000_000, 8_000_000)
RECIPE = Recipe(
    optimizer="rmsprop",
    learning_rate=0.005,
    batch_size=32,
    warmup_epochs=1,
    lr_final=0.05,
    mixup=0.1,
    dropout=0.1,
    label_smoothing=0.1,
    ema=False,
    augmentation="crop",
)


def candidate() -> Definition:
    """The first random candidate with multiply-adds, counted at its own resolution, inside `MACS`; at 64 px."""
    space = load_space("mobile")
    counter = Counter(space, num_classes=10)
    genes = space.random(64, seed=0)
    macs = counter(genes)[:, counter.names.index("macs")]
    chosen = next(index for index, count in enumerate(macs) if MACS[0] <= count <= MACS[1])
    definition = definition_of(space, genes[chosen : chosen + 1])[0]
    return definition.model_copy(update={"resolution": RESOLUTION})


def outcome(ops: str, seed: int, epochs: int, folder: str) -> dict[str, float]:
    """Training loss of the last epoch, and accuracies in percent after it."""
    data = shared_data(folder, RESOLUTION)
    settings = TrainerSettings(ops=ops)
    result = train(
        NetworkSpec.of(candidate()), RECIPE, data, epochs, seed, settings=settings, keep_network=True
    )
    if result.network is None:
        raise SystemExit(f"the training with {ops} ops, seed {seed} diverged: {result.message}")
    tested = evaluate(result.network, data.test, RESOLUTION, threads=1)
    return {"loss": result.losses[-1], "validation": result.curve[-1], "test": tested.accuracy}


def figures_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Means over the seeds, and the gaps of pairs of one seed."""
    pairs = {
        ops: sorted((row for row in rows if row["ops"] == ops), key=lambda row: row["seed"]) for ops in OPS
    }
    figures = {}
    for split in ("test", "validation"):
        for ops, mine in pairs.items():
            figures[f"{split}_accuracy_{ops}"] = statistics.mean(row[split] for row in mine)
    for what in ("test", "validation", "loss"):
        gaps = [fused[what] - plain[what] for fused, plain in zip(*pairs.values(), strict=True)]
        figures |= harness.mean_and_error(f"{what}_gap", gaps)
    return figures


def main() -> None:
    options = harness.arguments(__doc__, data=True, add=_options)
    epochs = 2 if options.quick else 12
    seeds = options.seeds or (2 if options.quick else 48)
    jobs = list(product(range(seeds), OPS))
    with (
        harness.photos(options.data) as folder,
        ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool,
    ):
        running = [pool.submit(outcome, ops, seed, epochs, str(folder)) for seed, ops in jobs]
        rows = [
            {"ops": ops, "seed": seed, "epochs": epochs, **job.result()}
            for (seed, ops), job in zip(jobs, running, strict=True)
        ]
    harness.report(figures_of(rows), rows, options.json)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seeds", type=int, default=None, help="(default: 48, quick: 2)")


if __name__ == "__main__":
    main()
