"""Trials as rows of the database."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict, replace
from typing import Any

from narsfast.common.trial import EpochMetrics, Trial

from . import _database as database
from ._legible import checked
from ._records import Purpose

_NAMES = ("candidate", "outcome", "epochs", "seconds", "message", "curve")


def trial_row(trial: Trial, purpose: Purpose) -> tuple[Any, ...]:
    """Return the values of a row in the order of the table's columns."""
    known = trial.metrics != EpochMetrics()
    return (
        purpose,
        trial.candidate,
        trial.epochs,
        curve_text(trial),
        trial.outcome,
        trial.seconds,
        trial.message,
        database.dump(asdict(trial.metrics)) if known else None,
    )


def continued_row(
    trial: Trial, purpose: Purpose, curve: str, seconds: float, metrics: str | None
) -> tuple[Any, ...]:
    """Return the row of a training that went on, with the time of its beginning, and its epochs if it lost its own.

    Args:
        trial: As it ended.
        purpose: Of both.
        curve: Of the stored beginning.
        seconds: Of the same.
        metrics: Of the same.
    """
    row = trial_row(replace(trial, seconds=trial.seconds + seconds), purpose)
    if len(trial.curve) < len(json.loads(curve)):
        row = (*row[:3], curve, *row[4:7], metrics)
    return row


def curve_text(trial: Trial) -> str:
    """Return the curve as it is stored."""
    return database.dump([float(accuracy) for accuracy in trial.curve])


def read_trials(connection: sqlite3.Connection, purpose: Purpose) -> list[Trial]:
    """Return the trials for one purpose, sorted by candidate id; the tables may be those of versions 0.1 and 0.2."""
    metrics = "metrics" if database.has_column(connection, "trials", "metrics") else "NULL"
    rows = connection.execute(
        f"SELECT {', '.join(_NAMES)}, {metrics} FROM trials WHERE purpose = ? ORDER BY candidate", (purpose,)
    )
    return [_trial(*row) for row in rows]


def _trial(*values: Any) -> Trial:
    *plain, curve, metrics = values
    stored = dict(zip(_NAMES, (*plain, json.loads(curve)), strict=True))
    return checked(Trial, stored | {"metrics": {} if metrics is None else json.loads(metrics)})
