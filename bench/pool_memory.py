"""Peak memory (MB) of sampling, counting and scoring N candidates, over imports: `python -m bench.pool_memory N`."""

from __future__ import annotations

import resource
import sys

import numpy as np

from narsfast.cost import Budget, Counter
from narsfast.predictor import pretrain
from narsfast.search import evolve, sample_pool
from narsfast.space import load_space


def peak_mb() -> float:
    """Largest resident memory of this process so far (Linux counts kB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def measure() -> None:
    counter = Counter(load_space("fbnetv3"))
    genes = counter.space.random(64, 0)
    predictor = pretrain(counter, genes, 0).fit(genes, np.linspace(60, 70, 64), 0)
    before = peak_mb()
    pool = sample_pool(counter, None, int(sys.argv[1]), 0)
    budgets = [Budget({"macs": (0.0, bound)}) for bound in (450e6, 1e12)]
    evolve(predictor, counter, budgets, pool, pool.genes[:0], 0, generations=0)
    print(peak_mb() - before)


if __name__ == "__main__":
    measure()
