"""Two more rivals beside the table: pymoo's NSGA-II, and a per-candidate evolution in Python as once-for-all has it.

Both score by the torch rival's vectorized statistics and predictor; only the search around them differs.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bench.rivals.torch_evolution import TorchEvolution

if TYPE_CHECKING:
    from bench.search_speed import Case

try:
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.problem import Problem
    from pymoo.operators.crossover.sbx import SBX
    from pymoo.operators.mutation.pm import PM
    from pymoo.operators.repair.rounding import RoundingRepair
    from pymoo.operators.sampling.rnd import IntegerRandomSampling
    from pymoo.optimize import minimize
except ImportError:
    NSGA2 = None

POPULATION = 100


def rates(case: Case, quick: bool) -> dict[str, float]:
    """Candidates a second of each that is installed."""
    rival = case.rival(case.default)
    generations = 10 if quick else 50
    found = {}
    for name, search in (("pymoo NSGA-II", nsga2), ("per candidate, Python", per_candidate)):
        if name.startswith("pymoo") and NSGA2 is None:
            continue
        start = time.perf_counter()
        handled = search(rival, generations)
        found[f"{name}, population {POPULATION}"] = handled / (time.perf_counter() - start)
    return found


@torch.inference_mode()
def _evaluate(rival: TorchEvolution, genes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores and MACs of genes (n, F), each (n,)."""
    canonical, marked = rival.canonical(torch.from_numpy(genes.astype(np.int64)))
    statistics = rival.count(canonical)
    return rival.score(marked, statistics).numpy(), statistics[:, 0].numpy()


def nsga2(rival: TorchEvolution, generations: int) -> int:
    """Accuracy against MACs, under the bound; candidates evaluated."""
    handled = 0

    class Search(Problem):  # type: ignore[misc]
        def __init__(self) -> None:
            sizes = rival.sizes.numpy()
            super().__init__(n_var=len(sizes), n_obj=2, n_ieq_constr=1, xl=0, xu=sizes - 1, vtype=int)

        def _evaluate(self, genes: np.ndarray, out: dict[str, Any], *_: Any, **__: Any) -> None:
            nonlocal handled
            handled += len(genes)
            scores, macs = _evaluate(rival, genes)
            out["F"] = np.stack([-scores, macs / rival.bound], 1)
            out["G"] = macs[:, None] - rival.bound

    rounded = {"vtype": float, "repair": RoundingRepair()}
    algorithm = NSGA2(
        pop_size=POPULATION,
        sampling=IntegerRandomSampling(),
        crossover=SBX(prob=0.9, eta=15, **rounded),
        mutation=PM(eta=20, **rounded),
    )
    minimize(Search(), algorithm, ("n_gen", generations), seed=0)
    return handled


def per_candidate(rival: TorchEvolution, generations: int) -> int:
    """Half of the children mutated, half crossed, each made and checked alone until it is inside; candidates scored."""
    generator = random.Random(0)
    sizes = rival.sizes.tolist()

    def inside(make: Any) -> list[int]:
        while True:
            genes = make()
            if _evaluate(rival, np.array([genes]))[1][0] <= rival.bound:
                return list(genes)

    def fresh() -> list[int]:
        return [generator.randrange(size) for size in sizes]

    def mutated(parent: list[int]) -> list[int]:
        return [
            generator.randrange(size) if generator.random() < 0.1 else gene
            for gene, size in zip(parent, sizes, strict=True)
        ]

    def crossed(one: list[int], other: list[int]) -> list[int]:
        return [generator.choice(pair) for pair in zip(one, other, strict=True)]

    population = [inside(fresh) for _ in range(POPULATION)]
    for _ in range(generations):
        scores = _evaluate(rival, np.array(population))[0]
        parents = [population[i] for i in np.argsort(-scores)[: POPULATION // 4]]
        children = [
            inside(lambda: mutated(generator.choice(parents)))  # noqa: B023
            if number % 2
            else inside(lambda: crossed(*generator.sample(parents, 2)))  # noqa: B023
            for number in range(POPULATION - len(parents))
        ]
        population = parents + children
    return POPULATION + generations * (POPULATION - POPULATION // 4)
