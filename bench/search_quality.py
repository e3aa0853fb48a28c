"""How good is the best candidate that a search finds with few trainings?

    python -m bench.search_quality [--dataset D.yaml ...] [--trainings 20 40 80 160] [--seeds 30] [--variants NAME ...]
                                   [--cache FILE] [--quick] [--json FILE] [--data FOLDER]

A search trains rows of a tabular dataset by looking up the labels of one training seed, in batches of 5 where it has
batches, and gives the row that it saw do best. Its rank is among all rows, by the mean over the training seeds, from 0;
equal rows share the better rank. After k trainings counts what the first k of one search found. Rivals meet the same
rows: random search, a search by a random forest with the same batches, and where the dataset is a full grid regularized
evolution and Optuna's TPE, both not charged for asking twice. Taken away from ours: pretraining; small batches
(`larger_batches` are of 10, `one_shot` trains half at random and picks the others at once); early stopping where there
are curves (with it, labels are of the early-stop epoch, for which batches of 5 are too small; `spearman` finds that of
the larger batches by Spearman's correlation instead of Kendall's). Architecture only and recipe only search a joint
grid with the other part fixed to its middle values.

Figures: `<dataset>_rank_<k>` of ours and `<dataset>_rank_<k>_<variant>` of others, medians over the seeds; in the rows
also means, the rank of the best row trained, seen as such or not, and the share of the complete trainings' epochs that
was spent.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two processes share the cores

import numpy as np
from numpy.typing import NDArray

from bench import harness
from bench.tabular.dataset import TabularDataset
from bench.tabular.jobs import NAME_KEY, Case, Datasets, Scores, arguments, run_cases
from bench.tabular.searches import NOT_NESTED, SEARCHES, Trained, version

DEFAULT_DATASETS = ("accel", "macro", "fcnet_protein")
TRAININGS = (20, 40, 80, 160)


def ranks_of(dataset: TabularDataset, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many rows are better, (k,), by the mean label."""
    mean = dataset.targets.mean(axis=1)
    ranks: NDArray[np.int64] = np.searchsorted(np.sort(-mean), -mean[rows])
    return ranks


def ranks_found(dataset: TabularDataset, trained: Trained) -> NDArray[np.int64]:
    """Return the rank of the best row seen after each training, (k,); of rows seen equal, the first."""
    ranks = ranks_of(dataset, trained.rows)
    best = np.maximum.accumulate(trained.labels)
    first = np.concatenate([[True], trained.labels[1:] > best[:-1]])
    return ranks[np.maximum.accumulate(np.where(first, np.arange(len(ranks)), 0))]


def judge(dataset: TabularDataset, variant: str, size: int, seed: int) -> Scores | None:
    """Search once and return the ranks after each of `size` trainings; None where the variant does not apply."""
    start = time.perf_counter()
    trained = SEARCHES[variant](dataset, size, seed)
    if trained is None:
        return None
    return {
        "ranks": ranks_found(dataset, trained).tolist(),
        "trained": np.minimum.accumulate(ranks_of(dataset, trained.rows)).tolist(),
        "epochs": trained.epochs,
        "seconds": round(time.perf_counter() - start, 3),
    }


def cases_of(datasets: Datasets, variants: Sequence[str], trainings: Sequence[int], seeds: int) -> list[Case]:
    """Return one search for all numbers of trainings, where its first trainings are those of a shorter one."""
    return [
        Case(seed, dataset.name, variant, size)
        for seed in range(seeds)
        for dataset in datasets
        for variant in variants
        for size in (trainings if variant in NOT_NESTED else [max(trainings)])
        if size <= len(dataset)
    ]


def rows_of(found: Mapping[Case, Scores], trainings: Sequence[int]) -> list[dict[str, Any]]:
    """Return one row per dataset, variant and number of trainings; a search without candidates keeps its last rank."""
    rows = []
    for dataset, variant in dict.fromkeys((case.dataset, case.variant) for case in found):
        mine = {
            case: scores
            for case, scores in found.items()
            if (case.dataset, case.variant) == (dataset, variant)
        }
        for size in trainings:
            of_size = [
                scores
                for case, scores in mine.items()
                if case.size == size or (variant not in NOT_NESTED and case.size > size)
            ]
            if not of_size:
                continue
            ranks, trained = (
                [scores[key][min(size, len(scores[key])) - 1] for scores in of_size]
                for key in ("ranks", "trained")
            )
            rows.append(
                {
                    NAME_KEY: dataset,
                    "variant": variant,
                    "trainings": size,
                    "median_rank": float(np.median(ranks)),
                    "mean_rank": round(float(np.mean(ranks)), 2),
                    "worst_rank": max(ranks),
                    "median_rank_trained": float(np.median(trained)),
                    "epochs": round(float(np.mean([scores["epochs"] for scores in of_size])), 3),
                    "seconds": round(float(np.mean([scores["seconds"] for scores in of_size])), 2),
                    "seeds": len(ranks),
                }
            )
    return rows


def figures_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the median ranks."""
    return {
        f"{row[NAME_KEY]}_rank_{row['trainings']}" + _suffix(row["variant"]): row["median_rank"]
        for row in rows
    }


def _suffix(variant: str) -> str:
    return "" if variant == "narsfast" else f"_{variant}"


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--trainings", type=int, nargs="+", help="(default: 20 40 80 160, quick: 20 40)")
    parser.add_argument("--variants", nargs="+", choices=SEARCHES, metavar="NAME", default=list(SEARCHES),
                        help=f"searches (default: all: {', '.join(SEARCHES)})")  # fmt: skip


def main() -> None:
    """Run the benchmark."""
    options = arguments(__doc__, DEFAULT_DATASETS, 30, _add)
    trainings = sorted(options.trainings or (TRAININGS[:2] if options.quick else TRAININGS))
    datasets = Datasets(options.dataset, options.data)
    cases = cases_of(datasets, options.variants, trainings, options.seeds)
    found = run_cases(judge, cases, datasets, version, options.cache)
    rows = rows_of(found, trainings)
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    harness.report(figures_of(rows), rows, options.json)


if __name__ == "__main__":
    main()
