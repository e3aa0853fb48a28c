"""What would a search have found, had it been run on trainings that are there?

    python -m bench.replay [--quick] [--json FILE] [--tables FOLDER] [--table NAME ...] [--draws N] [--images N]
                           [--runs DIR]

Replays predictors and policies on the tables of real trainings (`tabular/photos.py`). Each draw (100 unless said
otherwise) has its own validation split of 341 held-out photos, as many as the clothing photos have; what is predicted
and found is judged on the other held-out photos.

- Ranking: Kendall's tau between predictions for the candidates that were not learned and their worth, after 12, 24, 48
  and 96 random labels, of each predictor, and of multiply-adds alone.
- Regret: of each policy (`tabular/replays.py`) with 24 and 48 trials under three budgets, in points.

Figures, over all tables and draws: `replay_tau_24` of what `narsfast run` predicts with, `replay_tau_24_over_macs` and
`replay_tau_24_over_ridge` with the standard errors over the draws, `replay_regret_48` and, as a ratio,
`replay_regret_48_vs_random`. `--runs DIR` keeps what was judged, and goes on from there.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench import harness
from bench.tabular.dataset import TabularDataset
from bench.tabular.photo_table import PhotoTable, read_table
from bench.tabular.photos import PARENT_BUDGETS, counter_of, space_of
from bench.tabular.predictors import PREDICTORS
from bench.tabular.replays import POLICIES, dataset_of, drawn, regrets
from narsfast.common.seeds import derive_seed
from narsfast.cost import Budget
from narsfast.report._collect import kendall_tau

TABLES = Path(__file__).parent / "results" / "photos"
BUDGETS = {
    "clothing-main": (5e6, 10e6, 20e6),
    "signs-main": (5e6, 10e6, 20e6),
    "digits-main": (1e6, 2e6, 4e6),
    "clothing-parent": tuple(budget.bounds["macs"][1] for budget in PARENT_BUDGETS),
    "signs-parent": tuple(budget.bounds["macs"][1] for budget in PARENT_BUDGETS),
}
SIZES = (12, 24, 48, 96)
TRIALS = (24, 48)
OURS = "mixture"
"""The predictor that `narsfast run` predicts with, in `tabular/predictors.py`; `ours` there is its network alone."""
RANKED = (OURS, "ours", "macs", "ridge", "random_forest")


@cache
def _loaded(file: Path) -> tuple[PhotoTable, TabularDataset]:
    table = read_table(file)
    photos, _, kind = file.stem.rpartition("-")
    return table, dataset_of(file.stem, table, space_of(photos, kind), counter_of(photos, kind))


def judge(
    file: Path, images: int, sizes: Sequence[int], trials: Sequence[int], draw: int
) -> list[dict[str, Any]]:
    """Return the rows of one table and draw."""
    torch.set_num_threads(1)
    table, dataset = _loaded(file)
    budgets = [Budget({"macs": (0.0, most)}) for most in BUDGETS[file.stem]]
    replay = drawn(table, dataset, budgets, images, draw)
    order = np.random.default_rng(derive_seed(draw, "labels")).permutation(len(dataset))
    rows: list[dict[str, Any]] = []
    for size in sizes:
        if size > len(dataset) // 2:
            continue
        known, others = order[:size], order[size:]
        labels = replay.labels(known)
        for name in RANKED:
            predicted = PREDICTORS[name].learn(dataset, known, labels, others, draw % 4)
            if predicted is not None:
                tau = kendall_tau(predicted[0].tolist(), replay.worth[others].tolist())
                rows.append({"table": file.stem, "draw": draw, "predictor": name, "labels": size, "tau": tau})
    for count in trials:
        if count <= len(dataset) // 2:
            for name in POLICIES:
                regret = regrets(replay, name, count)
                rows.append(
                    {"table": file.stem, "draw": draw, "policy": name, "trials": count, "regret": regret}
                )
    return rows


def figures_of(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return the figures over all tables and draws."""
    figures: dict[str, float] = {}
    taus = {
        (row["table"], row["draw"], row["labels"], row["predictor"]): row["tau"]
        for row in rows
        if "tau" in row
    }
    for size in sorted({key[2] for key in taus}):
        for name in RANKED:
            mine = [tau or 0.0 for key, tau in taus.items() if key[2:] == (size, name)]
            if mine:
                figures[f"replay_tau_{size}" if name == OURS else f"replay_tau_{size}_{name}"] = (
                    statistics.mean(mine)
                )
        for rival in RANKED[1:]:
            pairs = [
                (tau or 0.0) - (taus[(*key[:3], rival)] or 0.0)
                for key, tau in taus.items()
                if key[2:] == (size, OURS) and (*key[:3], rival) in taus
            ]
            if pairs:
                figures |= harness.mean_and_error(f"replay_tau_{size}_over_{rival}", pairs)
    for count in sorted({row["trials"] for row in rows if "regret" in row}):
        means = {
            name: statistics.mean(
                row["regret"] for row in rows if row.get("policy") == name and row["trials"] == count
            )
            for name in POLICIES
        }
        figures[f"replay_regret_{count}"] = means["ours"]
        figures |= {f"replay_regret_{count}_{name}": mean for name, mean in means.items() if name != "ours"}
        for rival in means.keys() - {"ours"}:
            figures[f"replay_regret_{count}_vs_{rival}"] = means["ours"] / means[rival]
    return figures


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tables", type=Path, default=TABLES, metavar="FOLDER", help="where the tables are")
    parser.add_argument(
        "--table", nargs="+", choices=BUDGETS, default=None, help="which (default: all that are there)"
    )
    parser.add_argument("--draws", type=int, default=100, help="validation splits")
    parser.add_argument("--images", type=int, default=341, help="photos of a validation split")
    parser.add_argument(
        "--runs", type=Path, metavar="DIR", help="keep what was judged there, and go on from it"
    )


def main() -> None:
    """Run the benchmark."""
    options = harness.arguments(__doc__, add=_options)
    draws, sizes, trials = (2, SIZES[:1], TRIALS[:1]) if options.quick else (options.draws, SIZES, TRIALS)
    names = options.table or [name for name in BUDGETS if (options.tables / f"{name}.npz").is_file()]
    if not names:
        raise SystemExit(f"no tables in {options.tables}; make them by python -m bench.tabular.photos --pack")
    rows: list[dict[str, Any]] = []
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for name in names:
            file = options.tables / f"{name}.npz"
            known = _kept(options.runs, name)
            missing = [draw for draw in range(draws) if draw not in known]
            for draw, found in zip(
                missing, pool.map(partial(judge, file, options.images, sizes, trials), missing), strict=True
            ):
                known[draw] = found
                if options.runs is not None:
                    with (options.runs / f"{name}.jsonl").open("a", encoding="utf-8") as kept:
                        kept.write(json.dumps([draw, found]) + "\n")
            rows += [row for draw in range(draws) for row in known[draw]]
    harness.report(figures_of(rows), rows, options.json)


def _kept(folder: Path | None, name: str) -> dict[int, list[dict[str, Any]]]:
    """Return what was judged before, by its draw."""
    if folder is None:
        return {}
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return {draw: found for draw, found in map(json.loads, lines)}


if __name__ == "__main__":
    main()
