"""Is an hour of narsfast worth more than the same hour of random search, of Optuna, or of tuning a known network?

    python -m bench.end_to_end [--quick] [--json FILE] [--data FOLDER] [--runs DIR] [--photos NAME ...] [--pairs N]
                               [--time DURATION] [--scratch]

A unit is a data set, a split of its photos (drawn anew, stratified) and the seed of everything that is trained on it: a
pair. Six pairs of each data set unless said otherwise, numbered from 1. In each, two trainings at a time, every rival
has as much time (20 minutes, `narsfast run --time`), and the lengths of trials that the same plan gives it:

- ours: `narsfast run --parent efficientnet_lite0` under 16 million multiply-adds.
- random: random candidates of the same space that use 60 to 100 % of the budget; the four best ones race as ours do.
- tpe: Optuna's TPE on the recipe of the parent as it is, at the largest resolution that keeps the budget, the default
  recipe first; the four best ones race.
- stock: the parent at that resolution by the default recipe, for as many epochs as our final training and for four
  times as many; the better one by validation.

With `--scratch` the space is `mobile` at 64 px, the known network torchvision's mobilenet_v3_large, the budget what it
costs, and its standard recipe `narsfast.pipeline.STANDARD_RECIPE`.

Figures, points of test accuracy with the standard error over the pairs: `end_to_end_over_random`, `_tpe` and `_stock`,
with the worst pair and the share of pairs won; `end_to_end_pairs`.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np

from bench import harness
from bench.finetune import ARCHIVES, SIDE, Kept, Stock, draw_split, unpacked
from bench.trainings import Case, all_accuracies
from narsfast import pipeline
from narsfast.arch import NetworkSpec, load_pretrained
from narsfast.cost import Budget, count_network
from narsfast.data import shared_data
from narsfast.pipeline import STANDARD_RECIPE, Search
from narsfast.pipeline._anchors import anchors
from narsfast.pipeline._final_test import final_test
from narsfast.pipeline._finals import final_task
from narsfast.pipeline._plan import plan_finals
from narsfast.pipeline._race import race
from narsfast.pipeline._trials import evaluate_batch, run_tasks
from narsfast.runs import Family, Finalist, FoundCandidate
from narsfast.search import PickedBatch, band_of, sample_pool
from narsfast.space import Genes, default_recipe

PARENT = "efficientnet_lite0"
KNOWN = "torchvision:mobilenet_v3_large"
RESOLUTION = 64
BUDGET = 16_000_000
FINALISTS = 4
LONGER = 4
WORKERS = 2
RIVALS = ("random", "tpe", "stock")
QUICK = {
    "pool_size": 64,
    "ensemble_members": 1,
    "trials_per_batch": 2,
    "iterations": 1,
    "epochs": 1,
    "final_epochs": 1,
}

Propose = Callable[[Search, int], Iterator[Genes]]
"""A search and how many trials it may have: batches of genes; the labels of a batch are sent back."""


def random_candidates(search: Search, trials: int) -> Iterator[Genes]:
    """Propose random candidates that use most of the budget."""
    (budget,) = search.bands
    yield sample_pool(search.counter, band_of(budget), trials, search.seed("random")).genes


def by_tpe(search: Search, trials: int) -> Iterator[Genes]:
    """Propose what Optuna's TPE asks for, after the anchor, as many at once as there are workers."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = search.space
    sampler = optuna.samplers.TPESampler(seed=search.seed("tpe") % 2**32, constant_liar=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    (first,) = anchors(search.counter, [Budget({})])[0][:1]
    searched = [column for column, field in enumerate(space.fields) if len(field.values) > 1]
    study.enqueue_trial({space.fields[column].name: int(first[column]) for column in searched})
    known: dict[int, float] = {}
    done = 0
    while done < trials:
        asked = [study.ask() for _ in range(min(WORKERS, trials - done))]
        rows = np.tile(first, (len(asked), 1))
        for row, one in zip(rows, asked, strict=True):
            for column in searched:
                field = space.fields[column]
                last = len(field.values) - 1
                if field.kind == "range":
                    row[column] = one.suggest_int(field.name, 0, last)
                else:
                    row[column] = one.suggest_categorical(field.name, range(last + 1))
        genes = space.canonical(rows)
        keys = space.keys(genes).tolist()
        new = [place for place, key in enumerate(keys) if key not in known and key not in keys[:place]]
        if new:
            labels = yield genes[new]  # type: ignore[misc]
            known |= dict(zip([keys[place] for place in new], labels, strict=True))
        for one, key in zip(asked, keys, strict=True):
            study.tell(one, known[key])
        done += len(asked)


def searched(out: Path, options: Mapping[str, Any], propose: Propose) -> dict[str, float]:
    """Search as a rival does; return validation and test accuracy of what it found."""
    with pipeline.open_search(out, options, workers=WORKERS) as search:
        pipeline.pretrain(search)  # plans as ours does
        trials = search.config.trials_per_batch * search.config.iterations
        labels: dict[int, tuple[Genes, float]] = {}
        proposed, number = propose(search, trials), 0
        genes = next(proposed, None)
        while genes is not None:
            batch = PickedBatch(
                number, np.arange(len(genes)), genes, (None,) * len(genes), search.config.epochs
            )
            ended = {trial.candidate: trial for trial in evaluate_batch(search, batch)}
            accuracies = [
                ended[name].label(search.config.epochs, search.data.chance)
                for name in search.space.ids(genes)
            ]
            for row, key, accuracy in zip(genes, search.space.keys(genes).tolist(), accuracies, strict=True):
                labels[key] = row, accuracy
            number += 1
            try:
                genes = proposed.send(accuracies)  # type: ignore[attr-defined]
            except StopIteration:
                genes = None
        search.store.facts.early_stop_epoch = search.config.epochs
        best = sorted(labels.values(), key=lambda pair: -pair[1])[:FINALISTS]
        return _raced(
            search, np.array([row for row, _ in best], np.int16), [accuracy for _, accuracy in best]
        )


def _raced(search: Search, genes: Genes, labels: Sequence[float]) -> dict[str, float]:
    """Race these candidates; return validation and test accuracy of the best one."""
    found = tuple(
        FoundCandidate(candidate, label, 0.0, costs)
        for candidate, label, costs in zip(
            search.space.decode(genes), labels, search.statistics(genes), strict=True
        )
    )
    family = Family("budget", "budget", 0, found, finalists=tuple(Finalist(one.id, "trial") for one in found))
    plan_finals(search, [family])
    finals = {trial.candidate: trial for trial in search.store.trials("final")}
    while True:
        held = race(family, finals, len(search.data.val), search.config.final_epochs)
        if held.chosen is not None:
            break
        tasks = [final_task(search, family.found(name), epochs) for name, epochs in held.missing.items()]
        finals |= {trial.candidate: trial for trial in run_tasks(search, tasks, "final", "train")}
    task = final_task(search, held.chosen)
    tested = final_test(task, search.data.prepared(task.preparation))
    return {"validation": finals[held.chosen.id].curve[-1], "test": tested.accuracy}


def found(out: Path, options: Mapping[str, Any]) -> dict[str, float]:
    """Run ours; return what the table says, and how long a final training was."""
    (result,) = pipeline.run(out, dict(options), workers=WORKERS)
    with pipeline.open_search(out, workers=1) as search:
        epochs = search.config.final_epochs
    return {"validation": result.validation, "test": result.test, "macs": result.macs, "final_epochs": epochs}


def better(cases: Sequence[Case]) -> dict[str, float]:
    """Train a known network in several ways; return the accuracies of the better one by validation."""
    validation, test = max(all_accuracies(cases), key=lambda pair: pair[0])
    return {"validation": validation, "test": test}


def judge_pair(
    name: str, pair: int, photos: Path, folder: Path, options: Mapping[str, Any], scratch: bool
) -> dict[str, Any]:
    """Train everything of one pair; return its row."""
    kept = Kept(folder)
    data = str(draw_split(photos, folder / "photos.csv", pair))
    shared = {"data": data, "seed": pair, **options}
    row: dict[str, Any] = {"photos": name, "pair": pair}
    if scratch:
        classes = len(shared_data(data, RESOLUTION).classes)
        macs = count_network(NetworkSpec(KNOWN, RESOLUTION).build(classes), 3, RESOLUTION, classes)["macs"]
        side, recipe = RESOLUTION, STANDARD_RECIPE
        wide = {"space": "mobile", "fix": {"resolution": side}, "budgets": [f"macs={macs}"]}
        tuned = {"model": KNOWN, "fix": {"resolution": side}}

        def case(epochs: int) -> Case:
            return Case(NetworkSpec(KNOWN, side), recipe, pair, epochs, data, SIDE)
    else:
        parent = load_pretrained(PARENT)
        stock = Stock(parent, data, pair, 1, 1, folder / "parent.safetensors")
        side = stock.resolution(BUDGET)
        wide = {"parents": [PARENT], "budgets": [f"macs={BUDGET}"]}
        tuned = {"model": PARENT, "pretrained": True, "fix": {"resolution": side}}

        def case(epochs: int) -> Case:
            return stock.case(side, default_recipe("finetune"), epochs)

    ours = kept("ours", lambda: found(folder / "ours", {**wide, **shared}))
    row |= {f"ours_{key}": value for key, value in ours.items()}
    rivals = {
        "random": lambda: searched(folder / "random", {**wide, **shared}, random_candidates),
        "tpe": lambda: searched(folder / "tpe", {**tuned, **shared}, by_tpe),
        "stock": lambda: better([case(ours["final_epochs"]), case(LONGER * ours["final_epochs"])]),
    }
    for rival, compute in rivals.items():
        row |= {f"{rival}_{key}": value for key, value in kept(rival, compute).items()}
    return row


def figures_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return mean differences over the pairs with their errors, the worst pair and the share won."""
    figures: dict[str, float] = {"end_to_end_pairs": len(rows)}
    for rival in RIVALS:
        gaps = [row["ours_test"] - row[f"{rival}_test"] for row in rows]
        figures |= harness.mean_and_error(f"end_to_end_over_{rival}", gaps)
        figures[f"end_to_end_over_{rival}_worst"] = min(gaps)
        figures[f"end_to_end_over_{rival}_won"] = sum(gap > 0 for gap in gaps) / len(gaps)
    return figures


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runs", type=Path, metavar="DIR", help="keep what is trained there, and go on from it"
    )
    parser.add_argument(
        "--photos", nargs="+", choices=ARCHIVES, default=list(ARCHIVES), help="which data sets"
    )
    parser.add_argument("--pairs", type=int, default=6, help="pairs of split and seed of each")
    parser.add_argument("--time", default="20m", metavar="DURATION", help="of each rival")
    parser.add_argument("--scratch", action="store_true", help="from scratch")


def main() -> None:
    """Run the benchmark."""
    options = harness.arguments(__doc__, data=True, add=_options)
    with tempfile.TemporaryDirectory() as temporary:
        runs = (options.runs or Path(temporary)).absolute()
        runs.mkdir(parents=True, exist_ok=True)
        rows = []
        given = QUICK if options.quick else {"time": options.time}
        for pair in range(1, 2 if options.quick else 1 + options.pairs):
            for name in options.photos[: 1 if options.quick else None]:
                photos = unpacked(options.data / ARCHIVES[name], runs / f"{name}-photos")
                start = "scratch" if options.scratch else "parent"
                rows.append(
                    judge_pair(name, pair, photos, runs / f"{start}-{name}-{pair}", given, options.scratch)
                )
                print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
        figures = figures_of(rows)
    harness.report(figures, rows, options.json)


if __name__ == "__main__":
    main()
