"""How large should depthwise weights start?

    python -m bench.depthwise_start [--quick] [--json FILE] [--data DIR]

Kaiming's fan-out of a depthwise convolution can be counted over all groups, as torch does and narsfast with it (*all*),
or within a group, as in EfficientNet's code (*group*): the weights are then larger by the root of the channels. A batch
norm follows, so that only the speed differs at which the weights turn. Three random candidates of the space `mobile` at
64 px, by `narsfast.pipeline.STANDARD_RECIPE` in batches of 32 and by RMSProp at 0.002, on the clothing photos;
three seeds of 12 epochs (--quick: one seed and network, one epoch), two trainings at a time.

Figures: mean gap in test accuracy, all less group, of each optimizer, and its standard error over networks and seeds.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
from torch import nn

from bench import harness
from bench.trainings import judged
from narsfast.arch import Definition, create, definition_of
from narsfast.cost import Budget, Counter
from narsfast.data import shared_data
from narsfast.pipeline import STANDARD_RECIPE
from narsfast.space import load_space
from narsfast.training import train_network

RESOLUTION = 64
NETWORKS = 3
BOUNDS = "macs=4M:20M"
STARTS = ("all", "group")
RECIPES = {
    "sgd": STANDARD_RECIPE.model_copy(update={"batch_size": 32}),
    "rmsprop": STANDARD_RECIPE.model_copy(
        update={"batch_size": 32, "optimizer": "rmsprop", "learning_rate": 0.002}
    ),
}


def networks() -> list[tuple[Definition, int]]:
    """The first random candidates of the space between the bounds, with their multiply-adds."""
    space = load_space("mobile").fix({"resolution": RESOLUTION})
    counter = Counter(space, num_classes=10)
    genes = space.random(256, seed=0)
    costs = counter(genes)
    chosen = np.flatnonzero(Budget.parse(BOUNDS).within(costs, counter.names))[:NETWORKS]
    macs = costs[chosen, counter.names.index("macs")]
    return list(zip(definition_of(space, genes[chosen]), macs.tolist(), strict=True))


def start_within_groups(network: nn.Module) -> None:
    """Draw the depthwise weights anew, from torch's global generator, by the fan-out within a group."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.groups > 1:
            fan_out = module.out_channels * math.prod(module.kernel_size) // module.groups
            nn.init.normal_(module.weight, 0.0, math.sqrt(2 / fan_out))


def accuracy(network: int, start: str, optimizer: str, seed: int, epochs: int, folder: str) -> float:
    """Test accuracy in percent after one training; a constant guess where it diverged."""
    data, recipe = shared_data(folder, RESOLUTION), RECIPES[optimizer]

    def build() -> nn.Module:
        definition, _ = networks()[network]
        built = create(definition, len(data.classes), data.in_chans, dropout=recipe.dropout)
        if start == "group":
            start_within_groups(built)
        return built

    result = train_network(build, RESOLUTION, recipe, data, epochs=epochs, seed=seed, keep_network=True)
    return judged(result, data, RESOLUTION)[1]


def figures_of(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Gaps of the same network and seed."""
    figures: dict[str, float] = {}
    for optimizer in RECIPES:
        mine = sorted(
            (row for row in rows if row["optimizer"] == optimizer),
            key=lambda row: (row["network"], row["seed"], row["start"]),
        )
        gaps = [every["test"] - group["test"] for every, group in zip(mine[::2], mine[1::2], strict=True)]
        figures |= harness.mean_and_error(f"{optimizer}_gap", gaps)
    return figures


def main() -> None:
    options = harness.arguments(__doc__, data=True)
    count, seeds, epochs = (1, 1, 1) if options.quick else (NETWORKS, 3, 12)
    macs = [macs for _, macs in networks()]
    cases = list(product(range(count), STARTS, RECIPES, range(seeds)))
    with (
        harness.photos(options.data) as folder,
        ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool,
    ):
        running = [pool.submit(accuracy, *case, epochs, str(folder)) for case in cases]
        rows = [
            {
                "network": network,
                "macs": macs[network],
                "start": start,
                "optimizer": optimizer,
                "seed": seed,
                "epochs": epochs,
                "test": job.result(),
            }
            for (network, start, optimizer, seed), job in zip(cases, running, strict=True)
        ]
    harness.report(figures_of(rows), rows, options.json)


if __name__ == "__main__":
    main()
