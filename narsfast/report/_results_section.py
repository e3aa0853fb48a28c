"""Sections on the found networks: the table of results, and accuracy against cost."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from ._figures import accuracy_range
from ._html import Markup, figure, link, missing, number, paragraph, table
from ._style import Data

FILES = (
    ("README.md", "card"),
    ("definition.json", "definition"),
    ("recipe.json", "recipe"),
    ("weights.safetensors", "weights"),
    ("model.onnx", "ONNX"),
    ("timm_args.yaml", "timm"),
)


def results(data: Data, drawn: set[str], folder: Path, page: Path) -> str:
    """Return the table of found networks.

    Args:
        data: The result of `collect`.
        drawn: Ids of the figures that exist.
        folder: The run's directory.
        page: Path of the page, for relative links.
    """
    budgets = data["config"].get("budgets", [])
    if not data["results"] and data["config"].get("model"):
        return missing("The recipe has not been found yet.")
    if not data["results"]:
        return missing(
            f"No network has been emitted yet; there will be one for each of {len(budgets)} budgets."
            if budgets
            else "No network has been emitted yet."
        )
    timed = any(result["latency"] is not None for result in data["results"])
    balanced = any(result["balanced_accuracy"] is not None for result in data["results"])
    rows = []
    for result in data["results"]:
        directory = folder / result["directory"]
        links = [
            link(quote(os.fsencode(os.path.relpath(directory / name, page.parent))), text).html
            for name, text in FILES
            if (directory / name).exists()
        ]
        rows.append(
            (
                result["budget"],
                f"{result['macs']:,}",
                f"{result['params']:,}",
                *([number(result["latency"])] if timed else []),
                number(result["predicted"]),
                number(result["validation"]),
                number(result["test"]),
                *([number(result["balanced_accuracy"])] if balanced else []),
                Markup(" ".join(links)) if links else "files are gone",
            )
        )
    rows += [_baseline_row(row, timed, balanced) for row in data["baselines"]]
    return table(
        (
            *("budget", "MACs", "params", *(["latency (ms)"] if timed else [])),
            *(
                "predicted (%)",
                "validation (%)",
                "test (%)",
                *(["balanced (%)"] if balanced else []),
                "files",
            ),
        ),
        rows,
        numbers=range(1, 6 + timed + balanced),
        identifier="results",
    ) + paragraph(
        "The prediction is for a training stopped at the early-stop epoch, on the validation split; validation and "
        "test are those of the full training. Validation is optimistic, as the search selected by it; the test split "
        "was used once."
        + _worth_text(data)
        + _replaced_text(data)
        + _passed_over_text(data)
        + _baseline_text(data)
        + _teacher_text(data),
        soft=True,
    )


def _worth_text(data: Data) -> str:
    if not data["worths"]:
        return ""
    found = ". ".join(f"{budget}: {sentence}" for budget, sentence in data["worths"])
    return (
        f" What is known of the networks: {found}. The interval is that of the test split. Random trials and more "
        "trials are judged by the Gaussian process of the run, at the length of a trial, and are as right as it is."
    )


def _baseline_row(row: Data, timed: bool, balanced: bool) -> tuple[object, ...]:
    """Return a baseline as a row of the table of found networks."""
    return (
        f"baseline {row['model']}, {row['resolution']} px",
        f"{row['macs']:,}" if row["macs"] is not None else None,
        f"{row['params']:,}" if row["params"] is not None else None,
        *([None] if timed else []),
        None,
        number(row["validation"]),
        number(row["test"]),
        *([number(row["balanced_accuracy"])] if balanced else []),
        row["directory"] if row["outcome"] == "ok" else f"{row['outcome']}: {row['message']}",
    )


def _replaced_text(data: Data) -> str:
    if not data["displaced"]:
        return ""
    return (
        f" For {', '.join(data['displaced'])} the network that evolution found was worse after its full training than a "
        "trial of the search after a few epochs; the network and recipe of that trial take its place."
    )


def _passed_over_text(data: Data) -> str:
    return "".join(
        f" For {budget} candidate {row['candidate']} was predicted better ({number(row['predicted'], 2, ' %')}), and "
        f"its full training ended as {row['outcome'].replace('_', ' ')}"
        + (f" ({row['message']})" if row["message"] else "")
        + "."
        for budget, rows in data["passed_over"].items()
        for row in rows
    )


def _baseline_text(data: Data) -> str:
    if not data["baselines"]:
        return ""
    return (
        " Baselines were trained on the same images for the same number of epochs with one standard recipe "
        "(narsfast.pipeline.STANDARD_RECIPE), which was not tuned, and also tested once."
    )


def _teacher_text(data: Data) -> str:
    teacher, config = data["teacher"], data["config"]
    if teacher is None:
        return ""
    budgets = {result["candidate"]: result["budget"] for result in data["results"]}
    candidate = teacher.get("candidate")
    own = f" ({budgets.get(candidate, candidate)}, itself not distilled)" if candidate else ""
    if "resolution" in teacher:
        own = f" (the pretrained network as it is, fine-tuned at {teacher['resolution']} pixels)"
    return (
        f" The full trainings are distilled from {config['distill']}{own}: the teacher's share of the loss is "
        f"{config['distill_weight']:g}, the temperature {config['distill_temperature']:g}. The trials of the search had "
        "no teacher."
    )


def macs(data: Data, drawn: set[str], folder: Path, page: Path) -> str:
    """Return the section on accuracy against cost."""
    if "macs" not in drawn:
        return missing("No trial with a known cost has ended yet.")
    text = f"Every trial at epoch {data['label_epoch']} of its training, on the validation split"
    text += " (the found networks after their full training)." if data["results"] else "."
    if not data["results"]:
        text += " No network has been trained fully yet."
    if any(row["kept"] and row["kept"]["as_it_is"] for row in data["trials"]):
        text += " The parents as they are, with all their blocks and channels, are marked with their names."
    failed = [row for row in data["trials"] if row["outcome"] != "ok"]
    if failed:
        text += (
            f" {len(failed)} of {len(data['trials'])} trials did not end well; a trial that did not reach this epoch "
            f"counts as a constant guess ({number(data['chance'], 2, ' %') or 'unknown'})."
        )
    lowest = accuracy_range(data)[0]
    below = sum(row["label"] is not None and row["label"] < lowest for row in data["trials"])
    if below:
        text += f" {below} trials are below the plotted range (double-click the plot to see all)."
    return paragraph(text) + figure(
        "macs",
        "Accuracy against multiply-adds of all trials, the parents as they are and the found networks"
        if data["parents"]
        else "Accuracy against multiply-adds of all trials and the found networks",
    )
