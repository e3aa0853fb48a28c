"""How well does the predictor rank candidates that it has not seen trained?

    python -m bench.predictor_quality [--dataset D.yaml ...] [--n 50 100 200 500] [--seeds 10] [--variants NAME ...]
                                      [--cache FILE] [--quick] [--json FILE] [--data FOLDER]

For each tabular dataset, seed and N, N rows drawn at random are learned and all others predicted. Scores are Kendall's
tau and Spearman's correlation with the held-out rows' labels (means over all training seeds), over all of them and over
their best tenth, and the share of held-out labels inside the stated interval, mean +- 1.2816 standard deviations (80
%). Labels learned, and those that the interval is to hold, are of one training seed. Nothing is set per dataset; N
above half of a dataset is skipped. Seconds are of one process beside another, and hold the pretraining of a seed's
first fit.

Figures, of ours: `<dataset>_tau_<N>` and `_interval_80_<N>`, means over the seeds; `<dataset>_tau_margin`, ours less
the rival that is best on average, paired by seed, one-sided lower 95 % bound by Student's t, the least over N;
`interval_80_min` and `_max`, over N, of the mean over the datasets; `<dataset>_sample_saving`, the N at which the
network from scratch without statistics reaches our tau at N = 100, over 100, interpolated in log N, and
`_pretrain_saving`, for the same model and inputs without pretraining. Where half of the dataset is not enough, or the
least N too much, their row has the bound.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two processes share the cores

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, spearmanr
from scipy.stats import t as student

from bench import harness
from bench.tabular.dataset import TabularDataset
from bench.tabular.jobs import NAME_KEY, Case, Datasets, Scores, arguments, run_cases
from bench.tabular.predictors import PREDICTORS
from narsfast.common.seeds import derive_seed

DEFAULT_DATASETS = ("accel", "macro", "fcnet_protein")
SIZES = (50, 100, 200, 500)
INTERVAL = 1.2816
"""Standard deviations on either side that hold 80 % of a normal distribution."""
BEST_SHARE = 0.1
SAVING_AT = 100
SAVINGS = {"sample_saving": "scratch", "pretrain_saving": "no_pretraining"}

MEASURES = ("tau", "spearman", "tau_best_tenth", "spearman_best_tenth", "interval_80")

Found = Mapping[Case, Scores]
Floats = NDArray[np.float64]


def judge(dataset: TabularDataset, variant: str, n: int, seed: int) -> Scores | None:
    """Fit once and return the scores; None where the variant does not apply to the dataset."""
    order = np.random.default_rng(derive_seed(seed, "rows")).permutation(len(dataset))
    rows, held_out = order[:n], order[n:]
    observed = dataset.labels(seed)
    start = time.perf_counter()
    prediction = PREDICTORS[variant].learn(dataset, rows, observed[rows], held_out, derive_seed(seed, n))
    seconds = time.perf_counter() - start
    if prediction is None:
        return None
    mean, std = prediction
    truth = dataset.targets[held_out].mean(axis=1)
    best = np.argsort(-truth, kind="stable")[: max(2, int(BEST_SHARE * len(truth)))]
    inside = None if std is None else float((np.abs(observed[held_out] - mean) <= INTERVAL * std).mean())
    return {
        "tau": _correlation(kendalltau, mean, truth),
        "spearman": _correlation(spearmanr, mean, truth),
        "tau_best_tenth": _correlation(kendalltau, mean[best], truth[best]),
        "spearman_best_tenth": _correlation(spearmanr, mean[best], truth[best]),
        "interval_80": inside,
        "seconds": round(seconds, 3),
    }


def _correlation(measure: Callable[..., Any], scores: Floats, truth: Floats) -> float:
    """Return a correlation; 0 where the scores or the truth are all equal."""
    return float(measure(scores, truth).statistic) if np.ptp(scores) > 0 and np.ptp(truth) > 0 else 0.0


def over_seeds(found: Found, dataset: str, variant: str, size: int, measure: str = "tau") -> Floats:
    """Return a measure by seed, (seeds,); empty where there is none."""
    mine = sorted(
        case for case in found if (case.dataset, case.variant, case.size) == (dataset, variant, size)
    )
    values = [found[case][measure] for case in mine]
    return np.array([value for value in values if value is not None], np.float64)


def margin(found: Found, dataset: str, size: int) -> float:
    """Return the lower 95 % bound of our tau less the best rival's; nan with fewer than two seeds or without rivals."""
    ours = over_seeds(found, dataset, "ours", size)
    rivals = [over_seeds(found, dataset, name, size) for name, variant in PREDICTORS.items() if variant.rival]
    rivals = [taus for taus in rivals if len(taus) == len(ours)]
    if len(ours) < 2 or not rivals:
        return math.nan
    gaps = ours - max(rivals, key=lambda taus: float(taus.mean()))
    return float(gaps.mean() - student.ppf(0.95, len(gaps) - 1) * gaps.std(ddof=1) / math.sqrt(len(gaps)))


def needed(curve: Mapping[int, float], wanted: float) -> tuple[float, str]:
    """Return the N at which a curve of taus reaches one, between two N on a logarithmic scale.

    Returns:
        N, and ``exact``, or ``at least`` and ``at most`` where the curve does not reach so far.
    """
    sizes = sorted(curve)
    if curve[sizes[0]] >= wanted:
        return sizes[0], "exact" if curve[sizes[0]] == wanted else "at most"
    for before, after in pairwise(sizes):
        if curve[after] >= wanted:
            share = (wanted - curve[before]) / (curve[after] - curve[before])
            return float(before * (after / before) ** share), "exact"
    return sizes[-1], "at least"


def sizes_of(dataset: TabularDataset, sizes: Sequence[int]) -> list[int]:
    """Return the N of which the dataset has twice as many rows."""
    return [size for size in sizes if 2 * size <= len(dataset)]


def larger(sizes: Sequence[int], half: int) -> list[int]:
    """Return N beyond the ones asked for: 1000, 2000, 5000, ... and half of the dataset."""
    steps = [mantissa * 10**power for power in range(2, 8) for mantissa in (1, 2, 5)]
    return [size for size in steps if max(sizes) < size < half] + [half] * (half > max(sizes))


def savings(
    found: dict[Case, Scores], datasets: Datasets, run: Callable[[list[Case]], Found]
) -> list[dict[str, Any]]:
    """Return one row per dataset and saving; `run` extends curves until they reach our tau or half of the dataset."""
    rows = []
    for dataset in datasets:
        seeds = sorted({case.seed for case in found if case.dataset == dataset.name})
        ours = over_seeds(found, dataset.name, "ours", SAVING_AT)
        for saving, variant in SAVINGS.items():
            sizes = sorted({c.size for c in found if (c.dataset, c.variant) == (dataset.name, variant)})
            if not len(ours) or not sizes:
                continue
            more_sizes = larger(sizes, len(dataset) // 2)
            while True:
                curve = {size: float(over_seeds(found, dataset.name, variant, size).mean()) for size in sizes}
                trainings, bound = needed(curve, float(ours.mean()))
                if bound != "at least" or not more_sizes:
                    break
                sizes.append(more_sizes.pop(0))
                found |= run([Case(seed, dataset.name, variant, sizes[-1]) for seed in seeds])
            rows.append(
                {"figure": f"{dataset.name}_{saving}", "value": trainings / SAVING_AT, "bound": bound}
            )
    return rows


def figures_of(found: Found, names: Sequence[str], sizes: Sequence[int]) -> dict[str, float]:
    """Return all figures but the savings."""
    figures: dict[str, float] = {}
    covered: dict[int, list[float]] = {}
    for name in names:
        margins = []
        for size in sizes:
            if not len(taus := over_seeds(found, name, "ours", size)):
                continue
            figures[f"{name}_tau_{size}"] = float(taus.mean())
            margins.append(margin(found, name, size))
            inside = float(over_seeds(found, name, "ours", size, "interval_80").mean())
            figures[f"{name}_interval_80_{size}"] = inside
            covered.setdefault(size, []).append(inside)
        if margins and not np.isnan(margins).any():
            figures[f"{name}_tau_margin"] = min(margins)
    if covered:
        means = [float(np.mean(values)) for values in covered.values()]
        figures |= {"interval_80_min": min(means), "interval_80_max": max(means)}
    return figures


def rows_of(found: Found) -> list[dict[str, Any]]:
    """Return one row per dataset, N and variant: means over the seeds, and tau's standard deviation."""
    rows = []
    for dataset, size, variant in sorted({(case.dataset, case.size, case.variant) for case in found}):
        row: dict[str, Any] = {NAME_KEY: dataset, "n": size, "variant": variant}
        for measure in (*MEASURES, "seconds"):
            values = over_seeds(found, dataset, variant, size, measure)
            if len(values):
                row[measure] = round(float(values.mean()), 4)
        taus = over_seeds(found, dataset, variant, size)
        rows.append({**row, "tau_std": round(float(taus.std()), 4), "seeds": len(taus)})
    return rows


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--n", type=int, nargs="+", help="rows to learn from (default: 50 100 200 500, quick: 50 100)"
    )
    parser.add_argument("--variants", nargs="+", choices=PREDICTORS, metavar="NAME", default=list(PREDICTORS),
                        help=f"predictors (default: all: {', '.join(PREDICTORS)})")  # fmt: skip


def main() -> None:
    """Run the benchmark."""
    options = arguments(__doc__, DEFAULT_DATASETS, 10, _add)
    sizes = options.n or (SIZES[:2] if options.quick else SIZES)
    datasets = Datasets(options.dataset, options.data)

    def run(cases: list[Case]) -> dict[Case, Scores]:
        return run_cases(judge, cases, datasets, lambda name: PREDICTORS[name].version(), options.cache)

    found = run(
        [
            Case(seed, dataset.name, variant, size)
            for seed in range(options.seeds)
            for dataset in datasets
            for variant in options.variants
            for size in sizes_of(dataset, sizes)
        ]
    )
    saved = [] if options.quick else savings(found, datasets, run)
    figures = figures_of(found, [dataset.name for dataset in datasets], sizes)
    figures |= {row["figure"]: row["value"] for row in saved}
    rows = rows_of(found)
    for row in [*rows, *saved]:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    harness.report(figures, [*rows, *saved], options.json)


if __name__ == "__main__":
    main()
