"""Do the fused kernels train to the same accuracy as torch's modules?

    python -m bench.ops_accuracy [--quick] [--json FILE] [--data DIR]

One random candidate of the space `mobile` at 64 px with a recipe near the middle of its ranges, trained on the clothing
photos with both kinds of ops from the same seeds, two trainings at a time with one thread each. The figure is the gap
between the mean test accuracies over the seeds, in standard errors of that gap.
"""

from __future__ import annotations

import math
import os
import statistics
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from bench import harness
from narsfast.arch import definition_of
from narsfast.cost import Counter
from narsfast.data import shared_data
from narsfast.space import Recipe, load_space
from narsfast.training import TrainerSettings, evaluate, train

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


def accuracy(ops: str, seed: int, epochs: int, folder: str) -> float:
    """Test accuracy in percent after one training."""
    space = load_space("mobile")
    counter = Counter(space, num_classes=10)
    genes = space.random(64, seed=0)
    macs = counter(genes)[:, counter.names.index("macs")]
    chosen = next(index for index, count in enumerate(macs) if MACS[0] <= count <= MACS[1])
    definition = definition_of(space, genes[chosen : chosen + 1])[0].model_copy(
        update={"resolution": RESOLUTION}
    )
    data = shared_data(folder, RESOLUTION)
    result = train(
        definition, RECIPE, data, epochs, seed, settings=TrainerSettings(ops=ops), keep_network=True
    )
    if result.network is None:
        raise SystemExit(f"the training with {ops} ops, seed {seed} diverged: {result.message}")
    return evaluate(result.network, data.test, RESOLUTION, threads=1).accuracy


def main() -> None:
    options = harness.arguments(__doc__, data=True)
    seeds, epochs = (2, 2) if options.quick else (5, 12)
    jobs = list(product(range(seeds), ("fused", "torch")))
    with (
        harness.photos(options.data) as folder,
        ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool,
    ):
        running = [pool.submit(accuracy, ops, seed, epochs, str(folder)) for seed, ops in jobs]
        rows = [
            {"ops": ops, "seed": seed, "epochs": epochs, "test_accuracy": job.result()}
            for (seed, ops), job in zip(jobs, running, strict=True)
        ]
    found = {ops: [row["test_accuracy"] for row in rows if row["ops"] == ops] for ops in ("fused", "torch")}
    error = math.sqrt(sum(statistics.variance(values) / len(values) for values in found.values()))
    gap = statistics.mean(found["fused"]) - statistics.mean(found["torch"])
    figures = {f"test_accuracy_{ops}": statistics.mean(values) for ops, values in found.items()}
    figures |= {"gap": gap, "gap_in_standard_errors": abs(gap) / error if error else 0.0}
    harness.report(figures, rows, options.json)


if __name__ == "__main__":
    main()
