"""Sections on the search: predictions, batches, learning curves, importance of fields, the predictor, trials."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from narsfast.arch import Kept
from narsfast.cost import STATISTICS

from ._figures import REGRESSORS
from ._html import amount, code, figure, missing, number, paragraph, table
from ._style import Data, batch_name


def prediction(data: Data, drawn: set[str], folder: Path, page: Path) -> str:
    """Return the section on predictions from before the trainings."""
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
            "The score of each trial is the prediction by which it was picked before training: "
            f"{found['trials']} trials, Kendall tau {number(found['tau'], 3) or 'undefined'}. The first batch was "
            "picked at random and has no scores. Picked candidates are all expected to be good, so that their ranking "
            "is harder to predict than that of a random sample."
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
    """Return the section on the benefit of picking candidates by the predictor."""
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
            "The first batch is a random sample of the pool; its mean is the expected mean of a random batch, and its "
            "standard deviation gives the standard error for the size of each batch. All trials are compared at epoch "
            f"{data['label_epoch']}. Error bars are one standard error in each direction."
        )
        + figure("batches", "Mean measured accuracy of each batch and of a random batch of the same size")
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
    parts = [
        paragraph(_decision(data)),
        figure("curves", "Validation accuracy of every trial after each epoch"),
        *(
            [figure("losses", "Cross-entropy of every trial on the validation split after each epoch")]
            if "losses" in drawn
            else []
        ),
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
        parts.append(_decided(data))
    else:
        parts.append(missing("Fewer than three trials of the first batch have run to their last epoch."))
    parts.append("<h3>Full training of the found networks</h3>")
    if "finals" in drawn:
        parts.append(figure("finals", "Validation accuracy of the found networks after each epoch"))
    else:
        parts.append(missing("No full training has ended yet."))
    if "final-losses" in drawn:
        parts.append(
            paragraph(
                "Cross-entropy on the validation split (solid) and training loss (dotted), which is of images and "
                "labels as the recipe mixes, augments and smooths them.",
                soft=True,
            )
        )
        parts.append(figure("final-losses", "Losses of the found networks in each epoch"))
    return "".join(parts)


def _decision(data: Data) -> str:
    """Say when trainings after the first batch end, and why."""
    epoch = data["early_stop_epoch"]
    if epoch is None:
        return (
            "The early-stop epoch is not known yet; it follows from the curves of the complete first batch."
        )
    if data["early_stop_decision"] is not None:
        return str(data["early_stop_decision"]["sentence"])
    return (
        f"Trainings after the first batch end at epoch {epoch}, the first epoch that ranks the first batch nearly "
        "like its last epoch."
    )


def _decided(data: Data) -> str:
    """Return the table of what the rule compared; empty where it knew no noise."""
    decision = data["early_stop_decision"]
    if decision is None or not decision["reliability"]:
        return ""
    columns = (decision["observed"], decision["corrected"], decision["reliability"])
    rows = [
        (epoch, *(number(value, 3) for value in values))
        for epoch, values in enumerate(zip(*columns, strict=True), start=1)
    ]
    return paragraph(
        "Two labels are both noisy, and so agree less than what they measure. The reliability is the share of their "
        f"variance that is no noise. At the last epoch they vary by {decision['spread']:.2f} points between candidates, "
        f"of which {decision['deviation']:.2f} are noise (of the seed and of the choice of images).",
        soft=True,
    ) + table(
        ("epoch", "correlation as measured", "without noise", "reliability"),
        rows,
        numbers=range(4),
        identifier="early-stopping",
    )


def importance(data: Data, drawn: set[str], folder: Path, page: Path) -> str:
    """Return the section on the importance of the space's fields."""
    found = data["importance"]
    if found is None:
        return missing("Too few trials have ended to estimate the importance of fields.")
    reliability = (
        "As this is hardly better, the bars have no meaning."
        if found["error"] >= 0.95 * found["constant_error"]
        else "With so few trials only the largest bars are meaningful."
    )
    return paragraph(
        f"Permutation importance in a random forest fitted to the {found['trials']} trials: the increase of its mean "
        "absolute error on held-out trials when one field is shuffled (repeated 4-fold cross-validation; error bars are "
        f"one standard deviation over the folds). Its error is {found['error']:.2f} points, that of a constant guess "
        f"{found['constant_error']:.2f}. {reliability}"
    ) + figure("importance", "Importance of the fields of the space")


def quality(data: Data, drawn: set[str], folder: Path, page: Path) -> str:
    """Return the section on the predictor, simple regressors and pretraining."""
    parts = []
    if "fits" in drawn:
        names = [name for name in REGRESSORS if any(name in fit["taus"] for fit in data["fits"])]
        names += [
            name for name in {n: None for fit in data["fits"] for n in fit["taus"]} if name not in REGRESSORS
        ]
        parts += [
            paragraph(
                "Kendall tau between predicted and measured accuracy on trials held out of the fit, on the same folds "
                "for all. The predictor is useful only if it is above the simple regressors."
            ),
            figure("fits", "Kendall tau of the predictor and of simple regressors at each fit"),
            table(
                ("trials", *(REGRESSORS.get(name, name) for name in names)),
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
            paragraph("On one fifth of the pool, which was held out.", soft=True),
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
            missing(
                "The encoder has not been pretrained yet, or the space has no architecture fields to search."
            )
        )
    return "".join(parts)


def _statistic_order(item: tuple[str, object]) -> int:
    return STATISTICS.index(item[0]) if item[0] in STATISTICS else len(STATISTICS)


def trials(data: Data, drawn: set[str], folder: Path, page: Path) -> str:
    """Return the table of all trials."""
    if not data["trials"]:
        return missing("No trial has ended yet.")
    ordered: Sequence[Data] = sorted(data["trials"], key=lambda row: -(row["label"] or 0.0))
    inherits = bool(data["parents"])
    rows = [
        (
            code(row["candidate"]),
            row["batch"] + 1,
            *((Kept.from_dict(row["kept"]).text(),) if inherits else ()),
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
                *(("parent",) if inherits else ()),
                "MACs",
                "params",
                "predicted (%)",
                "measured (%)",
                "epochs",
                "seconds",
                "outcome",
            ),
            rows,
            numbers=[1, *range(2 + inherits, 8 + inherits)],
            identifier="trials",
        )
        + "</details>"
    )
