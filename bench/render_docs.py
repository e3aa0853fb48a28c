"""Write the Markdown tables of the pages on performance and quality from `results/`.

    python -m bench.render_docs

A comment of a page, ``<!-- RESULT.PART -->``, marks the table under it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench import finetune, harness

RESULTS = Path(__file__).parent / "results"
DOCS = Path(__file__).parents[1] / "docs"
PAGES = ("performance.md", "quality.md", "pretrained.md", "recipes.md")
MARK = r"(<!-- (\w+)\.(\w+) -->\n)"
PASSES = ("eval_forward", "train_forward", "train_backward")
BEST = ("eager", "eager_nhwc", "compile_nhwc")


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def figures(name: str) -> str:
    """Return the figures of a result file."""
    found = read(name)["figures"]
    return markdown(["figure", "value"], [[f"`{key}`", number(value)] for key, value in found.items()])


def number(value: float) -> str:
    """Return a number with two digits behind the point, below 1 three."""
    return f"{value:,.3f}" if abs(value) < 1 else f"{value:,.2f}"


def layers() -> str:
    """Return for every layer the milliseconds of the best torch variant / ours, and the ratio."""
    rows = []
    for row in read("depthwise_se")["rows"]:
        cells = [row["layer"], str(row["batch"])]
        for which in PASSES:
            best = min(row[f"{which}_{variant}_ms"] for variant in BEST)
            cells.append(f"{best:.2f} / {row[f'{which}_fused_ms']:.2f} = {row[f'{which}_vs_best']:.2f}")
        rows.append([*cells, f"{row['eval_forward_roofline']:.2f}"])
    return markdown(
        ["layer", "batch", *(which.replace("_", " ") for which in PASSES), "share of bound"], rows
    )


def steps() -> str:
    """Return the images a second of a training step."""
    rows = [row for row in read("train_step")["rows"] if "resolution" in row]
    return markdown(
        ["resolution", "batch", "variant", "images a second"],
        [
            [str(row["resolution"]), str(row["batch"]), row["variant"], f"{row['images_per_second']:.1f}"]
            for row in rows
        ],
    )


def loaders() -> str:
    """Return the images a second of every loader, threads across."""
    rates: dict[tuple[str, int, bool], dict[int, float]] = {}
    for row in read("loader")["rows"]:
        case = rates.setdefault((row["loader"], row["photos"], row["randaugment"]), {})
        case[row["threads"]] = row["images_per_second"]
    return markdown(
        ["loader", "photos, px", "RandAugment", "1 thread", "2 threads"],
        [
            [name, str(side), "yes" if policy else "no"]
            + [f"{found[threads]:,.0f}" if threads in found else "" for threads in (1, 2)]
            for (name, side, policy), found in rates.items()
        ],
    )


def throughput() -> str:
    """Return images a second and candidates an hour of whole trainings."""
    rows = [row for row in read("throughput")["rows"] if "failed" not in row]
    return markdown(
        ["device", "workers", "loader", "ops", "precision", "images a second", "candidates an hour"],
        [
            [
                row["name"],
                str(row["workers"]),
                row["loader"],
                row["ops"],
                row["precision"],
                f"{row['images_per_second']:,.0f}",
                f"{row['candidates_per_hour']:,.1f}",
            ]
            for row in rows
        ],
    )


def search() -> str:
    """Return the candidates a second of every search."""
    rows = [row for row in read("search_speed")["rows"] if "per_second" in row and "sgemm" not in row["what"]]
    return markdown(
        ["search", "threads", "candidates a second"],
        [[row["what"], str(row["threads"]), f"{row['per_second']:,}"] for row in rows],
    )


def optima() -> str:
    """Return in how many seeds the best of all candidates was found."""
    return markdown(
        ["space", "candidates", "budget", "found", "of seeds", "scored by the search"],
        [
            [
                row["space"],
                f"{row['candidates']:,}",
                row["budget"],
                str(row["found"]),
                str(row["seeds"]),
                f"{row['scored']:,}",
            ]
            for row in read("search_optimum")["rows"]
        ],
    )


def predictors() -> str:
    """Return Kendall's tau of every predictor, datasets and N across."""
    rows = [row for row in read("predictor_quality")["rows"] if "variant" in row]
    return _pivot(rows, "n", lambda row: f"{row['tau']:.3f}")


def intervals() -> str:
    """Return the share of held-out labels inside our 80 % interval, and tau among the best tenth."""
    rows = [row for row in read("predictor_quality")["rows"] if row.get("variant") == "ours"]
    return markdown(
        ["table", "N", "tau", "tau of the best tenth", "Spearman", "inside the 80 % interval"],
        [
            [row["table"], str(row["n"])]
            + [f"{row[key]:.3f}" for key in ("tau", "tau_best_tenth", "spearman", "interval_80")]
            for row in rows
        ],
    )


def searches(name: str = "search_quality") -> str:
    """Return median and mean rank of the best found by every search, datasets and trainings across."""
    rows = read(name)["rows"]
    return _pivot(rows, "trainings", lambda row: f"{row['median_rank']:g} ({row['mean_rank']:g})")


def joint() -> str:
    """Return what each search of architecture, recipe or both found, a row per data set, seed and search."""
    return markdown(
        [
            "data",
            "seed",
            "search",
            "test",
            "validation",
            "M MACs",
            "params",
            "trainings",
            "epochs",
            "seconds",
        ],
        [
            [
                row["data"],
                str(row["seed"]),
                row["search"],
                f"{row['test']:.2f}",
                f"{row['validation']:.2f}",
                f"{row['macs'] / 1e6:.2f}",
                f"{row['params']:,}",
                str(row["trainings"]),
                f"{row['epochs']} + {row['final_epochs']}",
                f"{row['seconds']:.0f}",
            ]
            for row in read("joint_vs_single")["rows"]
            if row["search"] != "swap"
        ],
    )


def swaps() -> str:
    """Return test accuracies of two networks of a run, each with its own recipe and with the other's."""
    kinds = ("large_own", "large_swapped", "small_own", "small_swapped")
    return markdown(
        ["data", "seed", *(kind.replace("_", ", ") for kind in kinds)],
        [
            [row["data"], str(row["seed"]), *(f"{row[kind]:.2f}" for kind in kinds)]
            for row in read("joint_vs_single")["rows"]
            if row["search"] == "swap" and not row["equal_recipes"]
        ],
    )


def found_and_known() -> str:
    """Return known networks and what was found for their MACs, a row per seed: validation / test."""
    trainings = ("baseline", "found", "standard")
    return markdown(
        ["seed", "known network", "M MACs", "found, M MACs", "known", "found", "found, standard recipe"],
        [
            [
                str(row["seed"]),
                f"mobilenet_v3_{row['baseline']}",
                f"{row['baseline_macs'] / 1e6:.2f}",
                f"{row['found_macs'] / 1e6:.2f}",
                *(f"{row[f'{kind}_validation']:.2f} / {row[f'{kind}_test']:.2f}" for kind in trainings),
            ]
            for row in read("baselines")["rows"]
        ],
    )


def fine_tuned(name: str = "finetune") -> str:
    """Return what was found from a parent beside the parent itself, a row per pair and budget: test accuracies."""
    rivals = ("stock_default", "stock_random", "stock", "scratch", "equal_epochs")
    return markdown(
        [
            "pair",
            "budget",
            "found, M MACs",
            "found",
            "parent, px",
            *(
                "default recipe",
                "best of random",
                "better by validation",
                "our run from scratch",
                "equal epochs",
            ),
        ],
        [
            [
                str(row["pair"]),
                row["budget"],
                f"{row['found_macs'] / 1e6:.2f}",
                f"{row['found_test']:.2f}",
                str(row["stock_resolution"]),
                *(f"{row[f'{rival}_test']:.2f}" if f"{rival}_test" in row else "" for rival in rivals),
            ]
            for row in read(name)["rows"]
        ],
    )


def importances() -> str:
    """Return accuracies of a child by how its channels were chosen, a column per seed: validation / test."""
    rows = read("finetune_importance")["rows"]
    ways = dict.fromkeys(row["chosen_by"] for row in rows)
    seeds = sorted({row["seed"] for row in rows})
    cells = {(row["chosen_by"], row["seed"]): f"{row['validation']:.1f} / {row['test']:.1f}" for row in rows}
    return markdown(
        ["chosen by", *(f"seed {seed}" for seed in seeds)],
        [[way, *(cells[way, seed] for seed in seeds)] for way in ways],
    )


def fine_tuning() -> str:
    """Return accuracies of a child by recipes with one thing changed, and what each gains over the default."""
    rows = read("finetune_recipes")["rows"]
    names, seeds = dict.fromkeys(row["recipe"] for row in rows), sorted({row["seed"] for row in rows})
    cells = {(row["recipe"], row["seed"]): f"{row['validation']:.1f} / {row['test']:.1f}" for row in rows}
    gains = {name: harness.mean_and_error("gain", gaps) for name, gaps in finetune.over_default(rows).items()}
    said = {name: f"{gain['gain']:+.1f} (error {gain['gain_error']:.1f})" for name, gain in gains.items()}
    return markdown(
        ["recipe", *(f"seed {seed}" for seed in seeds), "over the default"],
        [[name, *(cells[name, seed] for seed in seeds), said.get(name, "")] for name in names],
    )


def recipes() -> str:
    """Return test accuracies of every network and recipe of both questions, mean and seeds."""
    return markdown(
        ["question", "network", "recipe", "mean", "seeds"],
        [
            [
                row["question"],
                row["network"],
                row["recipe"],
                f"{row['mean']:.2f}",
                ", ".join(f"{accuracy:.1f}" for accuracy in row["test_accuracies"]),
            ]
            for row in read("recipe_switch")["rows"]
        ],
    )


def _pivot(rows: Sequence[dict[str, Any]], size: str, cell: Callable[[dict[str, Any]], str]) -> str:
    """Return one row per variant and one column per dataset and size, empty where there is none."""
    columns = list(dict.fromkeys((row["table"], row[size]) for row in rows))
    cells = {(row["variant"], row["table"], row[size]): cell(row) for row in rows}
    variants = dict.fromkeys(row["variant"] for row in rows)
    return markdown(
        ["", *(f"{name}, {number}" for name, number in columns)],
        [[variant, *(cells.get((variant, *column), "") for column in columns)] for variant in variants],
    )


def machine(name: str) -> str:
    """Return one line on the machine that a result comes from."""
    host = read(name)["machine"]
    return (
        f"{host['cpu']}, {host['cores']} cores, {host['isa']}, torch {host['torch']} ({host['torch_isa']}), "
        f"both cores together {host['both_cores_speedup']:.3f} times one."
    )


def read(name: str) -> dict[str, Any]:
    """Return the content of a result file."""
    document: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return document


PARTS: dict[str, dict[str, Callable[[], str]]] = {
    "depthwise_se": {"layers": layers},
    "train_step": {"steps": steps},
    "optimizer": {},
    "loader": {"loaders": loaders},
    "throughput": {"trainings": throughput},
    "ops_accuracy": {},
    "ops_gradients": {},
    "search_time": {},
    "search_speed": {"searches": search},
    "search_optimum": {"optima": optima},
    "statistics_speed": {},
    "predictor_quality": {"predictors": predictors, "intervals": intervals},
    "search_quality": {"searches": searches},
    "search_ablations": {"searches": partial(searches, "search_ablations")},
    "joint_vs_single": {"searches": joint, "swaps": swaps},
    "depthwise_start": {},
    "baselines": {"networks": found_and_known},
    "recipe_switch": {"recipes": recipes},
    "early_stopping": {},
    "finetune": {"pairs": fine_tuned},
    "finetune_importance": {"importances": importances},
    "finetune_recipes": {"recipes": fine_tuning},
    "search_naap": {"searches": partial(searches, "search_naap")},
}
"""What pages show of a result in addition to its figures and machine."""


def part(name: str, which: str) -> str:
    """Return one part of a result as a page shows it."""
    common = {"figures": partial(figures, name), "machine": partial(machine, name)}
    return (common | PARTS[name])[which]()


def updated(page: str) -> str:
    """Return the page with what stands under each mark, up to an empty line, replaced."""
    return re.sub(MARK + r"(?:[^\n]+\n)+", lambda found: f"{found[1]}{part(found[2], found[3])}\n", page)


def main() -> None:
    """Write the pages."""
    for path in (DOCS / page for page in PAGES):
        path.write_text(updated(path.read_text()))


if __name__ == "__main__":
    main()
