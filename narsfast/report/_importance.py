"""The importance of the space's fields for the measured accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from narsfast.runs import Batch

MIN_TRIALS = 8
"""Fewest trials from which importances are computed (this project's choice)."""

FOLDS, REPEATS, TREES, SHUFFLES = 4, 2, 50, 10
"""Folds and repeats of cross-validation, trees of a forest, shuffles of a field (this project's choice)."""


def field_importance(
    space: Mapping[str, Any] | None, batches: Sequence[Batch], rows: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | None:
    """Compute the permutation importance of fields in a random forest on held-out trials.

    Args:
        space: The space as plain data, as a run's configuration holds it.
        batches: The batches, whose trained hold the values of each candidate.
        rows: Trials with ``candidate`` and ``label`` (percent, None where unknown).

    Returns:
        ``trials``, ``error`` (mean absolute error of the forest on held-out trials, in percentage points),
        ``constant_error`` (that of the training folds' mean) and ``fields``: ``name``, ``part``, ``importance``
        (increase of the error when the field is shuffled, in percentage points) and ``deviation`` over the folds, most
        important first. None with too few trials or without a space.
    """
    labels = {row["candidate"]: row["label"] for row in rows if row["label"] is not None}
    trained = [picked for batch in batches for picked in batch.candidates if picked.candidate in labels]
    if space is None or len(trained) < MIN_TRIALS:
        return None
    from narsfast.space import Candidate, Space

    parsed = Space.from_dict(dict(space))
    genes = parsed.encode([Candidate(dict(m.architecture), dict(m.recipe)) for m in trained])
    columns = np.where(parsed.active(genes), genes, -1).astype(np.float32)
    varying = [i for i in range(len(parsed.fields)) if np.ptp(columns[:, i]) > 0]
    target = np.array([labels[picked.candidate] for picked in trained])
    if not varying:
        return None
    error, constant_error, growth = _permute(columns[:, varying], target)
    fields = [
        {
            "name": parsed.fields[i].name,
            "part": parsed.fields[i].part,
            "importance": float(growth[:, position].mean()),
            "deviation": float(growth[:, position].std()),
        }
        for position, i in enumerate(varying)
    ]
    fields.sort(key=lambda field: -float(field["importance"]))  # type: ignore[arg-type]
    return {"trials": len(trained), "error": error, "constant_error": constant_error, "fields": fields}


def _permute(
    columns: NDArray[np.float32], target: NDArray[np.float64]
) -> tuple[float, float, NDArray[np.float64]]:
    """Cross-validate forests and shuffle each column of the held-out rows.

    Args:
        columns: (n, k), one column per field.
        target: (n,), accuracy in percent.

    Returns:
        Mean absolute error of the forests and of a constant guess, and the increase (folds, k) of the forests' error.
    """
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.model_selection import RepeatedKFold

    random = np.random.default_rng(0)
    count = columns.shape[1]
    errors, constants, growths = [], [], []
    for train, held_out in RepeatedKFold(n_splits=FOLDS, n_repeats=REPEATS, random_state=0).split(columns):
        forest = RandomForestRegressor(TREES, min_samples_leaf=2, random_state=0).fit(
            columns[train], target[train]
        )
        truth = target[held_out]
        error = float(np.abs(forest.predict(columns[held_out]) - truth).mean())
        shuffled = np.tile(columns[held_out], (count, SHUFFLES, 1, 1))
        for field in range(count):
            for shuffle in range(SHUFFLES):
                shuffled[field, shuffle, :, field] = random.permutation(columns[held_out, field])
        predicted = forest.predict(shuffled.reshape(-1, count)).reshape(count, SHUFFLES, -1)
        growths.append(np.abs(predicted - truth).mean(axis=(1, 2)) - error)
        errors.append(error)
        constants.append(float(np.abs(target[train].mean() - truth).mean()))
    return float(np.mean(errors)), float(np.mean(constants)), np.array(growths)
