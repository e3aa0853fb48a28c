"""What does the early-stop rule save, and what does it cost?

    python -m bench.early_stopping [--dataset D.yaml ...] [--seeds 30] [--quick] [--json FILE] [--data FOLDER]

On a tabular dataset with curves (NAAP-440), for batches of 8 (the default of `narsfast run`), 12, 24 and 48 random
rows: the epoch at which the rule, with the threshold 0.92 and Spearman's or Kendall's correlation, lets later batches
stop, and how labels of that epoch rank all other rows, and choose the best of as many others as the batch had, against
complete trainings.

Figures, means over the seeds by dataset, batch and correlation: `_saved`, the share of a later training's epochs that is
saved; `_rank_correlation`, of the labels at that epoch with the final ones, in the correlation of the rule; `_rank`, of
the chosen row among those that it was chosen from, from 0 (complete trainings choose 0); `_regret`, the final label of
the best of these less that of the chosen one, in the unit of the labels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import kendalltau, spearmanr

from bench import harness
from bench.tabular.dataset import TabularDataset
from bench.tabular.jobs import NAME_KEY, Datasets, arguments
from narsfast.common.seeds import derive_seed
from narsfast.search import early_stop_epoch

DEFAULT_DATASETS = ("naap",)
BATCHES = (8, 12, 24, 48)
CORRELATIONS = {"spearman": spearmanr, "kendall": kendalltau}
MEASURES = ("saved", "rank_correlation", "rank", "regret")


def judge(dataset: TabularDataset, batch: int, correlation: Any, seed: int) -> dict[str, float]:
    """Return what the rule does after one first batch."""
    if dataset.curves is None:
        raise SystemExit(f"dataset {dataset.name} has no curves; give a description with curves")
    order = np.random.default_rng(derive_seed(seed, "rows", batch)).permutation(len(dataset))
    others = order[batch:]
    epochs = dataset.curves.shape[1]
    epoch = early_stop_epoch(dataset.curves[order[:batch]], correlation=correlation)
    early, final = dataset.curves[others, epoch - 1], dataset.curves[others, -1]
    later = slice(0, batch)
    chosen = final[later][np.argmax(early[later])]
    return {
        "epoch": epoch,
        "saved": 1 - epoch / epochs,
        "rank_correlation": float(CORRELATIONS[correlation](early, final).statistic),
        "rank": float((final[later] > chosen).sum()),
        "regret": float(final[later].max() - chosen),
    }


def rows_of(dataset: TabularDataset, seeds: int) -> list[dict[str, Any]]:
    """Return one row per batch and correlation: means over the seeds, and the largest regret."""
    rows = []
    for batch in BATCHES:
        for correlation in CORRELATIONS:
            found = [judge(dataset, batch, correlation, seed) for seed in range(seeds)]
            row: dict[str, Any] = {NAME_KEY: dataset.name, "batch": batch, "correlation": correlation}
            row |= {name: float(np.mean([scores[name] for scores in found])) for name in ("epoch", *MEASURES)}
            rows.append({**row, "worst_regret": max(scores["regret"] for scores in found), "seeds": seeds})
    return rows


def main() -> None:
    """Run the benchmark."""
    options = arguments(__doc__, DEFAULT_DATASETS, 30)
    datasets = Datasets(options.dataset, options.data)
    rows = [row for dataset in datasets for row in rows_of(dataset, options.seeds)]
    for row in rows:
        print(
            "  ".join(
                f"{key} {round(value, 4) if isinstance(value, float) else value}"
                for key, value in row.items()
            )
        )
    figures = {
        f"{row[NAME_KEY]}_{row['batch']}_{row['correlation']}_{measure}": row[measure]
        for row in rows
        for measure in MEASURES
    }
    harness.report(figures, rows, options.json)


if __name__ == "__main__":
    main()
