"""The sections of the page: what each plot shows, in words and numbers, and what is not there yet."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from narsfast.cost import STATISTICS

from ._figures import BASELINES, accuracy_range
from ._html import Markup, amount, figure, link, missing, number, paragraph, table
from ._style import batch_name

Data = Mapping[str, Any]

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
        data: what `collect` returned.
        drawn: ids of the figures there are.
        folder: the run's directory.
        page: where the page will be, so that links can be relative.
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
    rows = []
    for result in data["results"]:
        place = folder / result["directory"]
        links = [
            link(quote(os.path.relpath(place / name, page.parent).replace(os.sep, "/")), text).html
            for name, text in FILES
            if (place / name).exists()
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
                Markup(" ".join(links)) if links else "files are gone",
            )
        )
    rows += [_baseline_row(row, timed) for row in data["baselines"]]
    return table(
        (
            *("budget", "MACs", "params", *(["latency (ms)"] if timed else [])),
            *("predicted (%)", "validation (%)", "test (%)", "files"),
        ),
        rows,
        numbers=range(1, 6 + timed),
        identifier="results",
    ) + paragraph(
        "Predicted is for a training cut short at the early-stop epoch, on the validation split; validation "
        "and test are "
        "of the full training. The search chose by the validation split, so it flatters; test was looked at "
        "once." + _displaced_text(data) + _baseline_text(data) + _teacher_text(data),
        soft=True,
    )


def _baseline_row(row: Data, timed: bool) -> tuple[object, ...]:
    """A baseline as a row of the table of found networks."""
    return (
        f"baseline {row['model']}, {row['resolution']} px",
        f"{row['macs']:,}" if row["macs"] is not None else None,
        f"{row['params']:,}" if row["params"] is not None else None,
        *([None] if timed else []),
        None,
        number(row["validation"]),
        number(row["test"]),
        row["directory"] if row["outcome"] == "ok" else f"{row['outcome']}: {row['message']}",
    )


def _displaced_text(data: Data) -> str:
    if not data["displaced"]:
        return ""
    return (
        f" For {', '.join(data['displaced'])} the network found did worse in its full training than a trial of the "
        "search in a few epochs, so that the network and recipe of that trial are here."
    )


def _baseline_text(data: Data) -> str:
    if not data["baselines"]:
        return ""
    return (
        " Baselines were trained on the same images for as many epochs, by one standard recipe that nobody tuned "
        "(narsfast.pipeline._reference_networks.STANDARD_RECIPE), and tested once too."
    )


def _teacher_text(data: Data) -> str:
    teacher, config = data["teacher"], data["config"]
    if teacher is None:
        return ""
    budgets = {result["candidate"]: result["budget"] for result in data["results"]}
    candidate = teacher.get("candidate")
    own = f" ({budgets.get(candidate, candidate)}, itself not distilled)" if candidate else ""
    return (
        f" The full trainings are distilled from {config['distill']}{own}: the teacher's share of the loss is "
        f"{config['distill_weight']:g}, the temperature {config['distill_temperature']:g}; the trials of the search had "
        "no teacher."
    )


def macs(data: Data, drawn: set[str], folder: Path, page: Path) -> str:
    """Return the section on accuracy against cost."""
    if "macs" not in drawn:
        return missing("No trial with a known cost has ended yet.")
    epoch = data["label_epoch"]
    text = f"Every trial at epoch {epoch} of its training, on the validation split"
    text += " (the found networks after their full training)." if data["results"] else "."
    if not data["results"]:
        text += " No network has been trained fully yet."
    failed = [row for row in data["trials"] if row["outcome"] != "ok"]
    if failed:
        text += (
            f" {len(failed)} of {len(data['trials'])} trials did not end well; one that did not reach this "
            "epoch counts "
            f"as a constant guess ({number(data['chance'], 2, ' %') or 'unknown'})."
        )
    lowest = accuracy_range(data)[0]
    below = sum(row["label"] is not None and row["label"] < lowest for row in data["trials"])
    if below:
        text += f" {below} below the plotted range (double-click the plot to see all)."
    return paragraph(text) + figure(
        "macs", "Accuracy against multiply-adds of all trials and the found networks"
    )


def prediction(data: Data, drawn: set[str], folder: Path, page: Path) -> str:
    """Return the section on predictions made before the measurement."""
    if "prediction" not in drawn:
        return missing("No candidate that the predictor picked has been trained yet.")
    found = data["prediction"]
    rows = [
        (batch_name(row["batch"]), row["trials"], number(row["tau"], 3), number(row["mean_absolute_error"]))
        for row in found["batches"]
    ]
    rows.append(("all", found["trials"], number(found["tau"], 3), number(found["mean_absolute_error"])))
    return (
        paragraph(
            f"For each trial, only the score that picked it, given before it was trained: {found['trials']} "
            "trials, Kendall "
            f"tau {number(found['tau'], 3) or 'undefined'}. The first batch was picked at random and has no "
            "score. Picked "
            "candidates are all expected to be good, so their order is harder to tell than that of a random "
            "sample."
        )
        + figure("prediction", "Predicted against measured accuracy of the picked candidates")
        + table(
            ("batch", "trials", "Kendall tau", "mean absolute error (points)"),
            rows,
            numbers=range(1, 4),
            identifier="prediction",
        )
    )


def batches(data: Data, drawn: set[str], folder: Path, page: Path) -> str:
    """Return the section on what picking was worth."""
    if "batches" not in drawn:
        return missing("No batch has a measured accuracy yet.")
    rows = [
        (
            batch_name(row["batch"]),
            row["trials"],
            number(row["mean"]),
            number(row["error"]),
            number(row["best"]),
            number(row["random_mean"]),
            number(row["random_error"]),
        )
        for row in data["batches"]
    ]
    return (
        paragraph(
            "The first batch is random members of the pool, so its mean is what a random batch is expected "
            "to reach; its "
            "spread gives the standard error for each batch's size. All trials are compared at epoch "
            f"{data['label_epoch']}. "
            "The thin lines are one standard error to each side."
        )
        + figure("batches", "Mean measured accuracy of each batch beside a random batch of the same size")
        + table(
            (
                "batch",
                "trials",
                "mean (%)",
                "standard error",
                "best (%)",
                "random mean (%)",
                "random standard error",
            ),
            rows,
            numbers=range(1, 7),
            identifier="batches",
        )
    )


def curves(data: Data, drawn: set[str], folder: Path, page: Path) -> str:
    """Return the section on learning curves and early stopping."""
    if "curves" not in drawn:
        return missing("No trial has ended yet.")
    epoch = data["early_stop_epoch"]
    parts = [
        paragraph(
            f"Trainings after the first batch end at epoch {epoch}: the first epoch that ranks the first "
            "batch nearly as its "
            "last epoch does."
            if epoch is not None
            else "The early-stop epoch is not known yet; it follows from the curves of the complete first "
            "batch."
        ),
        figure("curves", "Validation accuracy of every trial after each epoch"),
        "<h3>How the early-stop epoch was chosen</h3>",
    ]
    if "early-stop" in drawn:
        threshold = data["config"].get("threshold")
        parts.append(
            paragraph(
                "Rank correlation between the first batch's accuracies at an epoch and at the last epoch"
                + (f"; the dotted line is the threshold, {threshold:g}." if threshold is not None else "."),
                soft=True,
            )
        )
        parts.append(figure("early-stop", "Rank correlation of each epoch with the last one"))
    else:
        parts.append(missing("Fewer than three trials of the first batch have run to their last epoch."))
    parts.append("<h3>Full training of the found networks</h3>")
    if "finals" in drawn:
        parts.append(figure("finals", "Validation accuracy of the found networks after each epoch"))
    else:
        parts.append(missing("No full training has ended yet."))
    return "".join(parts)


def importance(data: Data, drawn: set[str], folder: Path, page: Path) -> str:
    """Return the section on the fields of the space."""
    found = data["importance"]
    if found is None:
        return missing("Too few trials have ended to say anything about fields.")
    worth = (
        "That is hardly better, so read nothing into the bars."
        if found["error"] >= 0.95 * found["constant_error"]
        else "With this few trials only the largest bars mean something."
    )
    return paragraph(
        f"Permutation importance of a random forest fitted to the {found['trials']} trials: how much its "
        "mean absolute error "
        "on held-out trials grows when one field is shuffled (repeated 4-fold cross-validation; lines are "
        "one standard "
        f"deviation over the folds). Its error is {found['error']:.2f} points, that of a constant guess "
        f"{found['constant_error']:.2f}. {worth}"
    ) + figure("importance", "Importance of the fields of the space")


def quality(data: Data, drawn: set[str], folder: Path, page: Path) -> str:
    """Return the section on the predictor beside its baselines, and on its pretraining."""
    parts = []
    if "fits" in drawn:
        names = [name for name in BASELINES if any(name in fit["taus"] for fit in data["fits"])]
        names += [
            name for name in {n: None for fit in data["fits"] for n in fit["taus"]} if name not in BASELINES
        ]
        parts += [
            paragraph(
                "Kendall tau between predicted and measured accuracy on trials left out of the fit, the "
                "same folds for all. "
                "A predictor is worth its name only above the baselines."
            ),
            figure("fits", "Kendall tau of the predictor and the baselines at each fit"),
            table(
                ("trials", *(BASELINES.get(name, name) for name in names)),
                [
                    (fit["trials"], *(number(fit["taus"].get(name), 3) for name in names))
                    for fit in data["fits"]
                ],
                numbers=range(len(names) + 1),
                identifier="fits",
            ),
        ]
    else:
        parts.append(missing("The predictor has not been fitted to trials yet."))
    parts.append("<h3>Pretraining on statistics</h3>")
    if data["pretraining"]:
        parts += [
            paragraph("On the fifth of the pool that was held out.", soft=True),
            table(
                ("statistic", "validation error", "rank correlation"),
                [
                    (name, number(row.get("error"), 4), number(row.get("rank_correlation"), 4))
                    for name, row in sorted(data["pretraining"].items(), key=_statistic_order)
                ],
                numbers=(1, 2),
                identifier="pretraining",
            ),
        ]
    else:
        parts.append(
            missing("The encoder has not been pretrained yet, or the space searches no architecture.")
        )
    return "".join(parts)


def _statistic_order(item: tuple[str, object]) -> int:
    return STATISTICS.index(item[0]) if item[0] in STATISTICS else len(STATISTICS)


def trials(data: Data, drawn: set[str], folder: Path, page: Path) -> str:
    """Return the table of all trials."""
    if not data["trials"]:
        return missing("No trial has ended yet.")
    ordered: Sequence[Data] = sorted(data["trials"], key=lambda row: -(row["label"] or 0.0))
    rows = [
        (
            Markup(f"<code>{row['candidate']}</code>"),
            row["batch"] + 1,
            amount(row["macs"]),
            amount(row["params"]),
            number(row["score"]),
            number(row["label"]),
            len(row["curve"]),
            number(row["seconds"], 1),
            row["outcome"] if not row["message"] else f"{row['outcome']}: {row['message']}",
        )
        for row in ordered
    ]
    return (
        "<details><summary>All trials, best first</summary>"
        + table(
            (
                "candidate",
                "batch",
                "MACs",
                "params",
                "predicted (%)",
                "measured (%)",
                "epochs",
                "seconds",
                "outcome",
            ),
            rows,
            numbers=range(1, 8),
            identifier="trials",
        )
        + "</details>"
    )


def configuration(data: Data, drawn: set[str], folder: Path, page: Path) -> str:
    """Return the configuration of the run and the versions it used."""
    shown = {key: value for key, value in data["config"].items() if key != "space"}
    space = data["config"].get("space")
    rows = [(key.replace("_", " "), Markup(f"<code>{_code(value)}</code>")) for key, value in shown.items()]
    parts = [table(("option", "value"), rows, identifier="configuration")]
    if space is not None:
        name = space.get("name", "unnamed") if isinstance(space, Mapping) else str(space)
        parts.append(
            "<details><summary>Space "
            f"{escape(name)}</summary><pre>{escape(json.dumps(space, indent=1))}</pre></details>"
        )
    parts.append("<h3>Versions</h3>")
    if data["versions"]:
        parts.append(table(("what", "version"), list(data["versions"].items()), identifier="versions"))
    else:
        parts.append(missing("The run has not recorded versions."))
    return "".join(parts)


def _code(value: object) -> str:
    return escape(value if isinstance(value, str) else json.dumps(value))


Section = Callable[[Data, set[str], Path, Path], str]

SECTIONS: tuple[tuple[str, str, Section], ...] = (
    ("results-section", "Results", results),
    ("macs", "Accuracy against cost", macs),
    ("prediction-section", "Predicted against measured", prediction),
    ("batches-section", "What picking was worth", batches),
    ("curves", "Learning curves", curves),
    ("importance", "Importance of fields", importance),
    ("fits-section", "The predictor beside its baselines", quality),
    ("trials-section", "Trials", trials),
    ("configuration-section", "Configuration and versions", configuration),
)
"""Id, title and body of each section, in the order of the page."""
