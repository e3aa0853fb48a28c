"""Do the fused kernels train to the same accuracy as torch's modules, and by gradients as exact?

    python -m bench.ops_accuracy [--parts accuracy gradients] [--quick] [--seeds N] [--json FILE] [--data FOLDER]

Both parts train one random candidate of the space `mobile` at 64 px on the clothing photos; both are run where none is
named.

`accuracy`: trainings with a recipe near the middle of its ranges, by both kinds of ops from the same seeds, two at a
time with one thread each. Figures: means of the accuracies over the seeds; the gap of a seed, fused less torch, of both
splits and of the last epoch's training loss: its mean, and the standard error of that.

`gradients`: one training by the fused kernels with SGD. At every fifth step the gradient of the batch is computed in
float32 by both kinds of ops and in float64 by torch's modules, from the same weights. Figures: the error of the whole
gradient, relative to its norm: its median over these steps in millionths, and the percentage of the steps where it is
above 1e-4.
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import count, islice, product
from multiprocessing import get_context
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench import harness
from narsfast.arch import NetworkSpec, definition_of
from narsfast.cost import Counter
from narsfast.data import Dataset, open_loader, shared_data
from narsfast.ops import set_ops
from narsfast.space import Recipe, load_space
from narsfast.training import TrainerSettings, evaluate, train

PARTS = ("accuracy", "gradients")
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
EVERY = 5
"""Steps from one comparison of gradients to the next."""
LARGE_ERROR = 1e-4
LEARNING_RATE = 0.02
"""Of SGD in the training whose gradients are compared."""


def candidate() -> NetworkSpec:
    """Return the first random candidate with multiply-adds, at its own resolution, inside `MACS`; at 64 px."""
    space = load_space("mobile")
    counter = Counter(space, num_classes=10)
    genes = space.random(64, seed=0)
    macs = counter(genes)[:, counter.names.index("macs")]
    chosen = next(index for index, value in enumerate(macs) if MACS[0] <= value <= MACS[1])
    return NetworkSpec(definition_of(space, genes[chosen : chosen + 1])[0], RESOLUTION)


# Accuracy


def train_once(ops: str, seed: int, epochs: int, folder: str) -> dict[str, float]:
    """Train; return the training loss of the last epoch, and the accuracies in percent after it."""
    data = shared_data(folder, RESOLUTION)
    settings = TrainerSettings(ops=ops)
    result = train(candidate(), RECIPE, data, epochs, seed, settings=settings, keep_network=True)
    if result.network is None:
        raise SystemExit(f"the training with {ops} ops, seed {seed} diverged: {result.message}")
    tested = evaluate(result.network, data.test, RESOLUTION, threads=1)
    return {"loss": result.losses[-1], "validation": result.curve[-1], "test": tested.accuracy}


def accuracy_rows(folder: str, seeds: int, epochs: int) -> list[dict[str, Any]]:
    """Train by both kinds of ops from each seed: one row per training."""
    jobs = list(product(range(seeds), OPS))
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        running = [pool.submit(train_once, ops, seed, epochs, folder) for seed, ops in jobs]
        return [
            {"ops": ops, "seed": seed, "epochs": epochs, **job.result()}
            for (seed, ops), job in zip(jobs, running, strict=True)
        ]


def accuracy_figures(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return means over the seeds, and the gaps between the trainings of one seed."""
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


# Gradients


def gradient(network: nn.Module, ops: str, dtype: torch.dtype, images: Tensor, labels: Tensor) -> Tensor:
    """Compute a gradient, (parameters,) float64, in a copy: the network's own gradients and buffers stay."""
    twin = copy.deepcopy(network).to(dtype).train()
    set_ops(twin, ops)
    loss = functional.cross_entropy(twin(images.to(dtype)), labels, label_smoothing=RECIPE.label_smoothing)
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(twin.parameters()))]).double()


def gradient_rows(data: Dataset, steps: int) -> list[dict[str, float]]:
    """Train for so many steps: one row per compared step, how far the gradient of each kind of ops is from float64's."""
    torch.manual_seed(0)
    network = candidate().build(len(data.classes), data.in_chans, ops="fused").train()
    optimizer = torch.optim.SGD(network.parameters(), LEARNING_RATE, momentum=0.9)
    loader = open_loader("torchvision")
    batches = (
        batch
        for epoch in count()
        for batch in loader.batches(
            data.train, RESOLUTION, RECIPE.batch_size, seed=0, epoch=epoch, training=True
        )
    )
    rows = []
    for step, (images, labels) in enumerate(islice(batches, steps)):
        if step % EVERY == 0:
            exact = gradient(network, "torch", torch.float64, images, labels)
            found = {ops: gradient(network, ops, torch.float32, images, labels) for ops in OPS}
            rows.append(
                {
                    "step": step,
                    **{ops: float((mine - exact).norm() / exact.norm()) for ops, mine in found.items()},
                }
            )
        optimizer.zero_grad()
        functional.cross_entropy(network(images), labels, label_smoothing=RECIPE.label_smoothing).backward()
        optimizer.step()
    return rows


def gradient_figures(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the median error of each kind of ops, and how often it is large."""
    figures = {}
    for ops in OPS:
        errors = [row[ops] for row in rows]
        figures[f"{ops}_median_error_millionths"] = 1e6 * statistics.median(errors)
        figures[f"{ops}_large_error_percent"] = 100 * statistics.mean(error > LARGE_ERROR for error in errors)
    return figures


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="(default: both)")
    parser.add_argument("--seeds", type=int, default=None, help="of the accuracies (default: 48, quick: 2)")


def main() -> None:
    """Run the benchmark."""
    options = harness.arguments(__doc__, data=True, add=_add)
    figures: dict[str, float] = {}
    rows: list[dict[str, Any]] = []
    with harness.photos(options.data) as folder:
        if "accuracy" in options.parts:
            seeds = options.seeds or (2 if options.quick else 48)
            rows += accuracy_rows(str(folder), seeds, 2 if options.quick else 12)
            figures |= accuracy_figures(rows)
        if "gradients" in options.parts:
            torch.set_num_threads(1)
            compared = gradient_rows(shared_data(str(folder), RESOLUTION), 20 if options.quick else 500)
            rows += compared
            figures |= gradient_figures(compared)
    harness.report(figures, rows, options.json)


if __name__ == "__main__":
    main()
