"""How fast is the search, beside an evolution that a user would write in torch with the same predictor?

    python -m bench.search_speed [--quick] [--json FILE]

The space is fbnetv3, the predictor the default one, fitted to made-up labels, the bound one on the MACs. A candidate
counts when it was generated, repaired, checked and scored by the whole predictor; children that were scored before do
not count for ours, while the rival's all do. Variants take turns; figures are medians of the rounds, on one thread where
nothing else is said.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch

from bench import harness, search_rivals
from bench.torch_evolution import TorchEvolution
from narsfast.cost import Budget, Counter
from narsfast.predictor import PredictorWeights, pretrain
from narsfast.search import Evolved, Pool, evolve
from narsfast.search._reference import predict_reference
from narsfast.space import Genes, load_space

POPULATIONS = (100, 1000)
GENERATIONS = 100
POOL = 2048
MEMORY_POOL = 1_000_000
SIDES = ((768, 768, 768), (4096, 400, 400))  # products whose best rate is sgemm's
SAME = 1e-4  # percent; nearer scores are equal


@dataclass(frozen=True)
class Network:
    """Weights given, with what `evolve` asks of a predictor."""

    names: tuple[str, ...]
    arrays: PredictorWeights

    def weights(self) -> PredictorWeights:
        return self.arrays


class Case:
    """The space, a pool, a predictor and the bound that everything is timed on."""

    def __init__(self) -> None:
        self.space = load_space("fbnetv3")
        self.counter = Counter(self.space)
        genes = self.space.random(POOL, 1)
        self.pool = Pool(genes, self.counter(genes))
        macs, features = self.pool.statistics[:, 0], self.space.features(genes)
        slopes = np.random.default_rng(0).normal(0, 0.3, features.shape[1])
        labels = 70 + 3 * np.log(macs / 5e8) + features @ slopes
        fitted = pretrain(self.counter, genes, 0).fit(genes[:200], labels[:200], 0)
        self.default = Network(fitted.names, fitted.weights())
        self.wide = self._wide(400, 3)
        self.budgets = [Budget(dict(bounds)) for bounds in self.space.budgets]
        self.bound = Budget({"macs": (0.0, 550e6)})

    def _wide(self, width: int, layers: int) -> Network:
        """The other predictor of the figures: one member, `layers` hidden layers of `width`."""
        rng = np.random.default_rng(0)
        shape = [
            self.space.features(self.pool.genes[:1], part).shape[1] for part in ("architecture", "recipe")
        ]
        inputs, made = shape[0], []
        for outputs in [width] * layers + [1]:
            inputs += (len(self.counter.names) + shape[1]) if outputs == 1 else 0
            weights = rng.standard_normal((1, inputs, outputs)) * np.sqrt(2 / inputs)
            made.append((weights.astype(np.float32), np.zeros((1, outputs), np.float32)))
            inputs = outputs
        mean, std = self.default.arrays.statistic_mean, self.default.arrays.statistic_std
        return Network(
            self.counter.names, PredictorWeights(mean, std, made[:-1], made[-1:], 70.0, 5.0, 1.0, 0.0)
        )

    def ours(
        self, network: Network, population: int, seed: int = 0, generations: int = GENERATIONS
    ) -> Evolved:
        return evolve(
            network,
            self.counter,
            [self.bound],
            self.pool,
            self.pool.genes[:0],
            seed,
            population_size=population,
            num_random=population,
            children_per_parent=1,
            generations=generations,
            patience=generations,
        )[0]

    def family(self) -> list[Evolved]:
        """Four budgets, 100 generations of 1,000 children each."""
        return evolve(
            self.default,
            self.counter,
            self.budgets,
            self.pool,
            self.pool.genes[:0],
            0,
            population_size=200,
            children_per_parent=5,
            patience=GENERATIONS,
        )

    def rival(self, network: Network) -> TorchEvolution:
        return TorchEvolution(self.space, network.weights(), self.bound.bounds["macs"][1])

    def exact(self, genes: Genes) -> float:
        """Score (float64 throughout) of one candidate by the default predictor."""
        arrays = self.default.arrays
        double = replace(
            arrays,
            encoder=[(weight.astype(np.float64), bias.astype(np.float64)) for weight, bias in arrays.encoder],
            head=[(weight.astype(np.float64), bias.astype(np.float64)) for weight, bias in arrays.head],
        )
        row = np.ascontiguousarray(genes, np.int16).reshape(1, -1)
        return float(predict_reference(self.space, double, row, self.counter(row).astype(float))[0][0])


def check(case: Case) -> None:
    """The rival counts and scores as we do, or the comparison means nothing."""
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
    """Candidates a second of each variant, and products a second of sgemm."""
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
    work["narsfast, 3 x 400, population 1000"] = lambda: case.ours(case.wide, 1000).num_evaluated
    for m, n, k in SIDES:
        a, b, out = torch.randn(m, k), torch.randn(k, n), torch.empty(m, n)
        work[f"sgemm {m} x {n} x {k}"] = lambda a=a, b=b, out=out: len(torch.mm(a, b, out=out))
    handled = {name: run() for name, run in work.items()}
    seconds = harness.take_turns(work, rounds)
    return {name: handled[name] / seconds[name] for name in work}


def equal_time(case: Case, seeds: int) -> tuple[int, list[dict[str, Any]]]:
    """Seeds in which our best is not worse, the rival given the seconds that ours took."""
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


def pool_memory() -> float:
    """Rise of the peak memory over what importing takes, of a pool with statistics and scores; MB."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.pool_memory", str(MEMORY_POOL)],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def main() -> None:
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
    figures["score_at_equal_time"] = 30 * wins / len(equal_rows)
    figures["share_of_gemm_limit"] = found["narsfast, 3 x 400, population 1000"] * flops / sgemm
    figures["pool_memory_mb"] = pool_memory()

    rows = [{"what": name, "threads": 1, "per_second": round(rate)} for name, rate in found.items()]
    for name, rate in search_rivals.rates(case, options.quick).items():
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
