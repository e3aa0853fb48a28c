"""How fast is the search, beside an evolution that a user would write in torch with the same predictor?

    python -m bench.search_speed [--quick] [--json FILE]

The space is fbnetv3, the predictor the default one, fitted to made-up labels, the bound one on the MACs. A candidate
counts when it was generated, repaired, checked and scored by the whole predictor; children that were scored before do
not count for ours, while the rival's all do. Variants take turns; figures are medians of the rounds, on one thread where
nothing else is said. pymoo's NSGA-II (where it is installed) and an evolution in Python that makes one candidate at a
time have a row each.

`process_vs_network` is the ratio of the candidates a second of the Gaussian process with 48 labels to those of the
network, `process_vs_network_cautious` the same where deviations are computed too (`caution`).

`pool_memory_mb` is the rise of the peak memory, in a process of its own, while a million candidates are sampled, counted
and scored.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch

from bench import harness
from bench.rivals.case import GENERATIONS, POPULATIONS, SIDES, Case
from bench.rivals.nsga2 import is_installed, nsga2
from bench.rivals.per_candidate import per_candidate
from narsfast.cost import Budget, Counter
from narsfast.predictor import pretrain
from narsfast.search import evolve, sample_pool
from narsfast.search._surrogate_reference import predict_reference
from narsfast.space import load_space

MEMORY_POOL = 1_000_000
SAME = 1e-4
"""Percent; scores that differ by no more are equal."""
SLOW_POPULATION = 100
"""Of the searches in `slow_rates`."""


def check(case: Case) -> None:
    """Check that the rival counts and scores as we do, or the comparison means nothing."""
    genes, statistics = case.pool.genes[:500], case.pool.statistics[:500]
    for network in (case.default, case.wide):
        rival = case.rival(network)
        canonical, marked = rival.canonical(torch.from_numpy(genes).long())
        counted = rival.count(canonical)
        assert np.array_equal(canonical.numpy(), genes)
        assert np.array_equal(counted.numpy(), statistics)
        expected = predict_reference(case.space, network.weights(), genes, statistics.astype(float))[0]
        assert np.allclose(rival.score(marked, counted).numpy(), expected, atol=1e-3)


def rates(case: Case, rounds: int) -> dict[str, float]:
    """Measure the candidates a second of each variant, and the products a second of sgemm."""
    start = torch.from_numpy(case.pool.genes).long()
    work: dict[str, Callable[[], int]] = {}
    for population in POPULATIONS:
        torch_run = case.rival(case.default)
        work[f"narsfast, population {population}"] = lambda p=population: (
            case.ours(case.default, p).num_evaluated
        )
        work[f"torch, population {population}"] = lambda p=population, rival=torch_run: rival.run(
            start, p, GENERATIONS
        )[1]
    for kind, caution in (("", 0.0), (", cautious", 1.0)):
        for name, surrogate in (("network", case.default), ("process", case.process)):
            work[f"{name}{kind}, population 1000"] = lambda s=surrogate, c=caution: (
                case.ours(s, 1000, caution=c).num_evaluated
            )
    work["narsfast, 3 x 400, population 1000"] = lambda: case.ours(case.wide, 1000).num_evaluated
    for m, n, k in SIDES:
        a, b, out = torch.randn(m, k), torch.randn(k, n), torch.empty(m, n)
        work[f"sgemm {m} x {n} x {k}"] = lambda a=a, b=b, out=out: len(torch.mm(a, b, out=out))
    handled = {name: run() for name, run in work.items()}
    seconds = harness.take_turns(work, rounds)
    return {name: handled[name] / seconds[name] for name in work}


def slow_rates(case: Case, generations: int) -> dict[str, float]:
    """Measure once the candidates a second of the searches that take too long for turns."""
    rival = case.rival(case.default)
    searches = {"pymoo NSGA-II": nsga2} if is_installed() else {}
    searches["per candidate, Python"] = per_candidate
    found = {}
    for name, search in searches.items():
        start = time.perf_counter()
        handled = search(rival, SLOW_POPULATION, generations)
        found[f"{name}, population {SLOW_POPULATION}"] = handled / (time.perf_counter() - start)
    return found


def equal_time(case: Case, seeds: int) -> tuple[int, list[dict[str, Any]]]:
    """Count the seeds in which our best is not worse, the rival given the seconds that ours took."""
    start, rival = torch.from_numpy(case.pool.genes).long(), case.rival(case.default)
    rows, wins = [], 0
    for seed in range(seeds):
        begin = time.perf_counter()
        ours = case.ours(case.default, 100, seed)
        seconds = time.perf_counter() - begin
        genes, _ = rival.run(start, 100, 10**9, seed, seconds)
        scores = case.exact(ours.genes[0]), case.exact(genes[0].numpy())
        wins += scores[0] >= scores[1] - SAME
        rows.append(
            {"what": "equal time", "seed": seed, "seconds": seconds, "ours": scores[0], "torch": scores[1]}
        )
    return wins, rows


def pool_memory(candidates: int = MEMORY_POOL) -> float:
    """Return the rise of the peak memory by a pool with statistics and scores, in a fresh process; MB."""
    code = f"from bench.search_speed import pool_memory_here; pool_memory_here({candidates})"
    done = harness.run_python(code, stdout=subprocess.PIPE)
    return float(done.stdout)


def pool_memory_here(candidates: int) -> None:
    """Print the rise of this process's peak memory; what came before it is imports and a predictor."""
    counter = Counter(load_space("fbnetv3"))
    genes = counter.space.random(64, 0)
    predictor = pretrain(counter, genes, 0).fit(genes, np.linspace(60, 70, 64), 0)
    before = harness.peak_memory()
    pool = sample_pool(counter, None, candidates, 0)
    budgets = [Budget({"macs": (0.0, bound)}) for bound in (450e6, 1e12)]
    evolve(predictor, counter, budgets, pool, pool.genes[:0], 0, generations=0)
    print((harness.peak_memory() - before) / 1000)


def main() -> None:
    """Run the benchmark."""
    options = harness.arguments(__doc__)
    cores = torch.get_num_threads()
    torch.set_num_threads(1)
    case = Case()
    check(case)
    found = rates(case, 3 if options.quick else 9)
    wins, equal_rows = equal_time(case, 10 if options.quick else 30)
    sgemm = max(found[f"sgemm {m} x {n} x {k}"] * 2 * n * k for m, n, k in SIDES)
    wide = case.wide.weights()
    flops = 2 * sum(weight.size for weight, _ in [*wide.encoder, *wide.head])
    figures = {
        f"candidates_per_s_vs_torch_p{population}": found[f"narsfast, population {population}"]
        / found[f"torch, population {population}"]
        for population in POPULATIONS
    }
    for figure, kind in (("process_vs_network", ""), ("process_vs_network_cautious", ", cautious")):
        figures[figure] = found[f"process{kind}, population 1000"] / found[f"network{kind}, population 1000"]
    figures["score_at_equal_time"] = 30 * wins / len(equal_rows)
    figures["share_of_gemm_limit"] = found["narsfast, 3 x 400, population 1000"] * flops / sgemm
    figures["pool_memory_mb"] = pool_memory()

    rows = [{"what": name, "threads": 1, "per_second": round(rate)} for name, rate in found.items()]
    for name, rate in slow_rates(case, 10 if options.quick else 50).items():
        rows.append({"what": name, "threads": 1, "per_second": round(rate)})
    torch.set_num_threads(cores)
    found = rates(case, 3 if options.quick else 9)
    rows += [{"what": name, "threads": cores, "per_second": round(rate)} for name, rate in found.items()]
    family = harness.take_turns({"family": case.family}, 3 if options.quick else 9)["family"]
    figures["family_seconds"] = family
    for row in rows:
        print(f"{row['what']:44}{row['threads']:3} {row['per_second']:>14,}")
    harness.report(figures, rows + equal_rows, options.json)


if __name__ == "__main__":
    main()
