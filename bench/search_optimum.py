"""Does the search find the true best? On spaces small enough to score every candidate.

    python -m bench.search_optimum [--quick] [--json FILE]

Three spaces: 3 choices in 8 layers with an additive cost; tiny with fields fixed; MBConv stages with the fields of
Accel-NASBench (expansion, kernel, layers, squeeze-excite), fields fixed. The predictor is the default one, fitted to
made-up labels; the budgets bound one statistic, or two. A figure is the number of seeds of 100 in which the first
candidate of `evolve`, as shipped, scores what the best of all candidates inside scores; the smallest over the budgets.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
from numpy.typing import NDArray

from bench import harness
from narsfast.cost import Budget, Counter
from narsfast.predictor import Predictor, Statistics, pretrain
from narsfast.search import Pool, TableCounter, evolve
from narsfast.space import Genes, Space, load_space

CHUNK = 1 << 17
POOL = 1024
SHARES = (0.2, 0.5, 0.8)
"""Of the pool inside a budget."""
BLOCK = {"expansion": [1, 4, 6], "kernel": [3, 5], "depth": [1, 2, 3], "se": [False, True]}


def macro(_: int) -> TableCounter:
    """Make a space of 3^8 candidates; the later layers cost less."""
    layers = {f"layer{number}": {"choices": [0, 1, 2]} for number in range(1, 9)}
    space = Space.from_dict({"name": "macro", "architecture": layers, "recipe": {}})
    cost = np.random.default_rng(0).uniform(5, 15, (8, 1)) * np.array([0, 3, 6])
    return TableCounter(space, ("macs",), np.round(cost)[..., None] * 1e5)


def tiny(most: int) -> Counter:
    """Fix fields of the built-in space one after the other until few enough candidates are left."""
    return Counter(_shrunk(load_space("tiny"), most), in_chans=1, num_classes=10)


def accel(most: int) -> Counter:
    """Make seven stages as in Accel-NASBench, 36^7 candidates, and fix fields."""
    channels, strides = (16, 24, 40, 80, 112, 192, 320), (1, 2, 2, 2, 1, 2, 1)
    stages = []
    for width, stride in zip(channels, strides, strict=True):
        choices = {name: {"choices": values} for name, values in BLOCK.items()}
        number = len(stages) + 1
        stages.append(
            {
                "depth": choices["depth"],
                "channels": width,
                "stride": stride,
                "se": choices["se"],
                "kernel": {
                    part: {**choices["kernel"], "share": f"kernel{number}"} for part in ("first", "rest")
                },
                "expansion": {
                    part: {**choices["expansion"], "share": f"expansion{number}"}
                    for part in ("first", "rest")
                },
            }
        )
    architecture = {
        "resolution": 224,
        "stem": {"channels": 32},
        "stages": stages,
        "head": {"expansion": 6, "features": 1280},
    }
    space = Space.from_dict({"name": "accel", "architecture": architecture, "recipe": {}})
    return Counter(_shrunk(space, most))


def _shrunk(space: Space, most: int) -> Space:
    """Fix fields, spread over the space, to their middle value until at most `most` candidates are left."""
    order = np.random.default_rng(0).permutation(len(space.fields))
    for column in order:
        if space.size() <= most:
            break
        field = space.fields[column]
        if len(field.values) > 1:
            space = space.fix({field.name: field.values[len(field.values) // 2]})
    return space


def every(space: Space) -> Iterator[Genes]:
    """Yield all candidates in chunks (n, F), those with inactive fields several times."""
    searched = np.flatnonzero(space.sizes > 1)
    sizes = space.sizes[searched].astype(int)
    total = int(np.prod(sizes))
    for first in range(0, total, CHUNK):
        genes = np.zeros((min(CHUNK, total - first), len(space.fields)), np.int16)
        genes[:, searched] = np.stack(np.unravel_index(np.arange(first, first + len(genes)), sizes), 1)
        yield space.canonical(genes)


def fitted(counter: Statistics) -> Predictor:
    """Fit the default predictor to labels with interactions between fields."""
    space, rng = counter.space, np.random.default_rng(1)
    genes = np.unique(space.random(2000, 2), axis=0)
    features = space.features(genes)
    labels = (
        70
        + 2 * np.log(np.maximum(counter(genes)[:, 0], 1.0) / 1e6)
        + features @ rng.normal(0, 1, features.shape[1])
    )
    labels += ((features @ rng.normal(0, 1, (features.shape[1], 8))) > 0).sum(1)
    return pretrain(counter, genes, 0).fit(genes[:200], labels[:200], 0)


def budgets_of(counter: Statistics, statistics: NDArray[Any]) -> list[Budget]:
    """Return upper bounds of the first statistic, and one of two statistics where there are."""

    def bound(column: int, share: float) -> tuple[float, float]:
        return 0.0, float(np.quantile(statistics[:, column], share))

    names = counter.names
    budgets = [Budget({names[0]: bound(0, share)}) for share in SHARES]
    if "params" in names:
        budgets.append(Budget({names[0]: bound(0, 0.5), "params": bound(names.index("params"), 0.4)}))
    return budgets


def found(counter: Statistics, seeds: int) -> list[dict[str, Any]]:
    """Return one row per budget: in how many seeds the best was found."""
    predictor = fitted(counter)
    genes = np.unique(counter.space.random(POOL, 5), axis=0)
    pool = Pool(genes, counter(genes))
    budgets = budgets_of(counter, pool.statistics)
    best = np.full(len(budgets), -np.inf)
    for chunk in every(counter.space):
        statistics, scores = counter(chunk), predictor.scores(chunk)
        for number, budget in enumerate(budgets):
            inside = budget.within(statistics, counter.names)
            best[number] = max(best[number], scores[inside].max(initial=-np.inf))
    hits = np.zeros(len(budgets), int)
    worst = np.zeros(len(budgets))
    scored = np.zeros(len(budgets), int)
    for seed in range(seeds):
        for number, result in enumerate(evolve(predictor, counter, budgets, pool, genes[:0], seed)):
            hits[number] += result.scores[0] >= best[number]
            worst[number] = max(worst[number], best[number] - result.scores[0])
            scored[number] += result.num_evaluated
    return [
        {
            "space": counter.space.name,
            "candidates": counter.space.size(),
            "budget": budget.label(),
            "seeds": seeds,
            "found": int(hit),
            "largest_loss": float(loss),
            "scored": int(count / seeds),
        }
        for budget, hit, loss, count in zip(budgets, hits, worst, scored, strict=True)
    ]


def main() -> None:
    """Run the benchmark."""
    options = harness.arguments(__doc__)
    seeds = 20 if options.quick else 100
    rows, figures = [], {}
    for make in (macro, tiny, accel):
        new = found(make(10**6 if options.quick else 10**7), seeds)
        for row in new:
            print(row)
        rows += new
        figures[f"optimum_{make.__name__}"] = 100 * min(row["found"] for row in new) / seeds
    harness.report(figures, rows, options.json)


if __name__ == "__main__":
    main()
