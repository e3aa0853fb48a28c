"""The content of the page, read from a run as plain JSON types."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from narsfast.arch import Kept, kept_of
from narsfast.common.candidate import Candidate
from narsfast.common.early_stopping import EarlyStopping
from narsfast.common.names import shown
from narsfast.common.trial import Fit, Trial
from narsfast.cost import LATENCY
from narsfast.runs import TUNED, all_passed_over
from narsfast.space import Space

from ._collect_classes import balanced_accuracies, classes_of
from ._collect_race import races_of
from ._importance import field_importance

if TYPE_CHECKING:
    from narsfast.runs import Batch, RunStore


def collect(run: RunStore) -> dict[str, Any]:
    """Collect the content of the page from a run, finished or not.

    Args:
        run: The run, opened for reading or writing.

    Returns:
        JSON types. ``label_epoch`` is the epoch at which all trials are compared: the early-stop epoch, the last epoch
        that the first batch was asked for while that is unknown or where batches are halved, or None before any batch.
        Accuracies are in percent.
    """
    batches = run.batches()
    trials = {trial.candidate: trial for trial in run.trials("search")}
    chance = run.facts.chance
    early_stop_epoch = run.facts.early_stop_epoch
    reached_by_all = [batches[0].epochs] if batches else []
    label_epoch = min(
        [*reached_by_all, *([] if early_stop_epoch is None else [early_stop_epoch])], default=None
    )
    space = _space_of_children(run.config)
    kept = _kept(space, run, batches)
    rows = _trial_rows(batches, trials, run.facts.statistics or {}, label_epoch, chance, kept)
    latencies = {
        found.id: found.statistics.get(LATENCY)
        for family in run.facts.families or ()
        for found in family.candidates
    }
    balanced = balanced_accuracies(run)
    return {
        "name": shown(run.path.name),
        "config": run.config,
        "versions": run.facts.versions or {},
        "accepted": list(run.facts.accepted or ()),
        "chance": chance,
        "early_stop_epoch": early_stop_epoch,
        "label_epoch": label_epoch,
        "expected_trials": sum(len(batch.candidates) for batch in batches),
        "parents": [] if space is None else _parents(run, space),
        "trials": rows,
        "batches": batch_means(rows),
        "prediction": prediction_quality(rows, label_epoch == early_stop_epoch),
        "early_stopping": early_stopping(rows, run.config.get("correlation", "kendall")),
        "early_stop_decision": _decision(run.facts.early_stopping),
        "fits": _fits(run.facts.fits),
        "pretraining": run.facts.predictor_pretraining or {},
        "importance": field_importance(run.config.get("space"), batches, rows),
        "finals": _final_rows(run),
        "baselines": [
            asdict(result) | {"balanced_accuracy": balanced.get(result.model)}
            for result in run.facts.baselines or ()
        ],
        "by_class": classes_of(run),
        "teacher": None if run.facts.teacher is None else run.facts.teacher.to_dict(),
        "races": races_of(run),
        "worths": [(worth.budget, worth.sentence()) for worth in run.facts.worths or ()],
        "displaced": _replaced_by_trials(run),
        "passed_over": {
            label: [asdict(passed) for passed in found] for label, found in all_passed_over(run).items()
        },
        "results": [
            {
                "budget": result.budget,
                "candidate": result.candidate,
                "macs": result.macs,
                "params": result.params,
                "latency": latencies.get(result.candidate),
                "predicted": result.predicted,
                "validation": result.validation,
                "test": result.test,
                "balanced_accuracy": balanced.get(result.candidate),
                "directory": result.directory,
                "kept": kept.get(result.candidate),
            }
            for result in run.results()
        ],
    }


def _parents(run: RunStore, space: Space) -> list[dict[str, Any]]:
    tuned = {trial.candidate: trial.curve[-1] for trial in run.trials("baseline") if trial.curve}
    return [parent.dump() | {"tuned": tuned.get(f"{TUNED}{parent.name}")} for parent in space.parents]


def _trial_rows(
    batches: Sequence[Batch],
    trials: Mapping[str, Trial],
    statistics: Mapping[str, Mapping[str, float]],
    label_epoch: int | None,
    chance: float | None,
    kept: Mapping[str, Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Return one row per finished trial, in the order of the batches."""
    rows = []
    for batch in batches:
        for picked in batch.candidates:
            trial = trials.get(picked.candidate)
            if trial is None:
                continue
            known = statistics.get(picked.candidate, {})
            rows.append(
                {
                    "candidate": picked.candidate,
                    "batch": batch.index,
                    "score": picked.score,
                    "label": _label(trial, label_epoch, chance),
                    **_epochs(trial),
                    "outcome": trial.outcome,
                    "message": trial.message,
                    "epochs": trial.epochs,
                    "seconds": trial.seconds,
                    "macs": known.get("macs"),
                    "params": known.get("params"),
                    "kept": kept.get(picked.candidate),
                }
            )
    return rows


def _space_of_children(config: Mapping[str, Any]) -> Space | None:
    """Return the space of a run whose candidates have parents."""
    described = config.get("space")
    if not isinstance(described, Mapping) or not described.get("parents") or config.get("model"):
        return None
    return Space.from_dict(described)


def _kept(space: Space | None, run: RunStore, batches: Sequence[Batch]) -> dict[str, dict[str, Any]]:
    """Return what each candidate has of its parent, by the candidate's id."""
    if space is None:
        return {}
    found = {row.id: row.candidate for family in run.facts.families or () for row in family.candidates} | {
        picked.candidate: Candidate(picked.architecture, picked.recipe)
        for batch in batches
        for picked in batch.candidates
    }
    parts = zip(found, kept_of(space, list(found.values())), strict=True)
    return {name: _described(kept) for name, kept in parts if kept is not None}


def _described(kept: Kept) -> dict[str, Any]:
    return kept.to_dict() | {"as_it_is": kept.as_it_is, "share": kept.share}


def _epochs(trial: Trial) -> dict[str, list[float | None]]:
    """Return what the page shows of each epoch."""
    return {
        "curve": [_number(accuracy) for accuracy in trial.curve],
        "cross_entropy": [_number(loss) for loss in trial.metrics.cross_entropy],
        "training_loss": [_number(loss) for loss in trial.metrics.training_loss],
    }


def _label(trial: Trial, epoch: int | None, chance: float | None) -> float | None:
    if epoch is None or (chance is None and len(trial.curve) < epoch):
        return None
    return _number(trial.label(epoch, chance if chance is not None else math.nan))


def _number(value: float | None) -> float | None:
    """Return a value as a float, or None if it is not finite."""
    return float(value) if value is not None and math.isfinite(value) else None


def _labels(rows: Sequence[Mapping[str, Any]]) -> list[float]:
    return [row["label"] for row in rows if row["label"] is not None]


def batch_means(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Compare each batch with a random batch of the same size.

    As the first batch is drawn at random from the pool, the expected mean of k random candidates is its mean, with the
    standard error s / sqrt(k), where s is the standard deviation within the first batch.

    Args:
        rows: Trials with ``batch`` and ``label`` (percent at the label epoch, None where unknown).

    Returns:
        One row per batch: ``batch``, ``trials`` (k), ``mean``, ``error`` (standard error), ``best``,
        ``random_mean`` and ``random_error``; None for values that are undefined.
    """
    first = _labels([row for row in rows if row["batch"] == 0])
    means = []
    for index in sorted({row["batch"] for row in rows}):
        labels = _labels([row for row in rows if row["batch"] == index])
        count = len(labels)
        if not count:
            continue
        means.append(
            {
                "batch": index,
                "trials": count,
                "mean": float(np.mean(labels)),
                "error": float(np.std(labels, ddof=1) / math.sqrt(count)) if count > 1 else None,
                "best": max(labels),
                "random_mean": float(np.mean(first)) if first else None,
                "random_error": float(np.std(first, ddof=1) / math.sqrt(count)) if len(first) > 1 else None,
            }
        )
    return means


def kendall_tau(left: Sequence[float], right: Sequence[float]) -> float | None:
    """Return Kendall's tau-b, or None if it is undefined (fewer than two values, or all equal)."""
    from scipy.stats import kendalltau

    if len(left) < 2:
        return None
    return _number(kendalltau(left, right).statistic)


def prediction_quality(rows: Sequence[Mapping[str, Any]], predicted: bool = True) -> dict[str, Any]:
    """Compare the scores of candidates with the accuracies of their trainings.

    A score counts only if it was predicted before the candidate was trained; the first batch has none.

    Args:
        rows: Trials with ``batch``, ``score`` and ``label``.
        predicted: Whether the labels are at the epoch that was predicted; at an earlier one, errors say nothing.

    Returns:
        ``trials``, ``tau`` and ``mean_absolute_error`` (percentage points) of all trials, and ``batches``: the same per
        batch.
    """
    scored = [row for row in rows if row["score"] is not None and row["label"] is not None]

    def quality(part: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        scores, labels = [row["score"] for row in part], [row["label"] for row in part]
        error = float(np.mean(np.abs(np.subtract(scores, labels)))) if part and predicted else None
        return {"trials": len(part), "tau": kendall_tau(scores, labels), "mean_absolute_error": error}

    batches = sorted({row["batch"] for row in scored})
    return quality(scored) | {
        "batches": [{"batch": b} | quality([row for row in scored if row["batch"] == b]) for b in batches]
    }


def early_stopping(rows: Sequence[Mapping[str, Any]], correlation: str) -> list[float | None]:
    """Correlate the ranking of the first batch at each epoch with its ranking at the last epoch.

    Args:
        rows: Trials; only those of batch 0 that reached the last epoch are used.
        correlation: ``spearman`` or ``kendall``.

    Returns:
        One value per epoch, None if undefined; empty with fewer than three complete curves.
    """
    from scipy.stats import kendalltau, spearmanr

    first = [row for row in rows if row["batch"] == 0]
    length = max((row["epochs"] for row in first), default=0)
    curves = np.array(
        [row["curve"] for row in first if len(row["curve"]) == length and None not in row["curve"]],
        dtype=float,
    )
    if len(curves) < 3:
        return []
    measure = kendalltau if correlation == "kendall" else spearmanr
    values = []
    for epoch in range(length):
        constant = np.ptp(curves[:, epoch]) == 0 or np.ptp(curves[:, -1]) == 0
        values.append(None if constant else _number(measure(curves[:, epoch], curves[:, -1]).statistic))
    return values


def _decision(found: EarlyStopping | None) -> dict[str, Any] | None:
    return None if found is None else {**asdict(found), "sentence": found.sentence()}


def _fits(fits: Sequence[Fit] | None) -> list[dict[str, Any]]:
    return [
        {"trials": fit.trials, "taus": {name: _number(tau) for name, tau in fit.taus.items()}}
        for fit in fits or ()
    ]


def _replaced_by_trials(run: RunStore) -> list[str]:
    """Return the labels of budgets without a race whose network is the best trial's, not the one found by evolution."""
    ended_well = {trial.candidate for trial in run.trials("final") if trial.outcome == "ok"}
    emitted = {result.budget: result.candidate for result in run.results()}
    families = run.facts.families or ()
    found = {
        family.label: next((found.id for found in family.candidates if found.id in ended_well), None)
        for family in families
        if not family.finalists
    }
    return [budget for budget, candidate in emitted.items() if candidate != found.get(budget, candidate)]


def _final_rows(run: RunStore) -> list[dict[str, Any]]:
    """Return one row per full training, in the order of the results, then those without a result."""
    order = {result.candidate: position for position, result in enumerate(run.results())}
    rows: list[dict[str, Any]] = [
        {
            "candidate": trial.candidate,
            **_epochs(trial),
            "outcome": trial.outcome,
            "message": trial.message,
            "epochs": trial.epochs,
            "seconds": trial.seconds,
        }
        for trial in run.trials("final")
    ]
    return sorted(rows, key=lambda row: order.get(row["candidate"], len(order)))
