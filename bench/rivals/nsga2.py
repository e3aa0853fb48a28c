"""pymoo's NSGA-II over the vectorized statistics and predictor of the evolution in torch; only the search differs."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.rivals.torch_evolution import TorchEvolution

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


def is_installed() -> bool:
    """Tell whether pymoo is there."""
    return NSGA2 is not None


def nsga2(rival: TorchEvolution, population: int, generations: int) -> int:
    """Search the front of accuracy against MACs under the bound; return how many candidates were evaluated."""
    evaluated = 0

    class Search(Problem):  # type: ignore[misc]
        def __init__(self) -> None:
            sizes = rival.sizes.numpy()
            super().__init__(n_var=len(sizes), n_obj=2, n_ieq_constr=1, xl=0, xu=sizes - 1, vtype=int)

        def _evaluate(self, genes: np.ndarray, out: dict[str, Any], *_: Any, **__: Any) -> None:
            nonlocal evaluated
            evaluated += len(genes)
            scores, macs = rival.evaluate(genes)
            out["F"] = np.stack([-scores, macs / rival.bound], 1)
            out["G"] = macs[:, None] - rival.bound

    rounded = {"vtype": float, "repair": RoundingRepair()}
    algorithm = NSGA2(
        pop_size=population,
        sampling=IntegerRandomSampling(),
        crossover=SBX(prob=0.9, eta=15, **rounded),
        mutation=PM(eta=20, **rounded),
    )
    minimize(Search(), algorithm, ("n_gen", generations), seed=0)
    return evaluated
