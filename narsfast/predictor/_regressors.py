"""Cheap rivals of the predictor, judged by the same cross-validation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.stats import kendalltau

from narsfast.common.seeds import derive_seed

from ._predictor import Predictor
from ._validation import CrossValidation

Floats = NDArray[np.float64]

TREES = 100


def compare_regressors(
    predictor: Predictor, genes: ArrayLike, labels: ArrayLike, validation: CrossValidation, seed: int
) -> dict[str, float]:
    """Kendall tau of the predictor and of its rivals, cross-validated on the same folds.

    Tau is taken inside each held-out fold and averaged, because labels centered on different training sets do not
    compare across folds.

    Args:
        predictor: pretrained; its fit, if any, is not used.
        genes: (n, F) canonical.
        labels: (n,) accuracy in percent.
        validation: the predictor's, of the same labels; it gives the folds.
        seed: of the forest.

    Returns:
        ``params`` and ``macs`` (the statistic itself as a score), ``ridge`` and ``random_forest`` (on features and
        standardized statistics) and ``predictor``. nan where it cannot be told: too few labels for folds, constant
        labels or scores, or a statistic that the space does not have.
    """
    inputs, percent = predictor.learning_set(genes, labels)
    truth = percent.numpy().astype(np.float64)
    folds = validation.folds
    columns = torch.cat([inputs.architecture, inputs.recipe, inputs.statistics], dim=1).numpy()
    scores = {name: _statistic(predictor, inputs.statistics.numpy(), name) for name in ("params", "macs")}
    scores |= _regressors(columns, truth, folds, derive_seed(seed, "forest"))
    scores["predictor"] = validation.outputs
    return {name: _tau(values, truth, folds) for name, values in scores.items()}


def _statistic(predictor: Predictor, statistics: NDArray[np.float32], name: str) -> Floats:
    if name not in predictor.names:
        return np.zeros(len(statistics))
    return statistics[:, predictor.names.index(name)].astype(np.float64)


def _regressors(
    columns: NDArray[np.float32], truth: Floats, folds: NDArray[np.int64], seed: int
) -> Mapping[str, Floats]:
    """Predictions of ridge and forest for each fold from the others."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.linear_model import RidgeCV

    models = {
        "ridge": RidgeCV(alphas=np.logspace(-3, 3, 13)),
        "random_forest": RandomForestRegressor(TREES, random_state=seed % 2**32, n_jobs=1),
    }
    predictions = {name: np.zeros(len(truth)) for name in models}
    for name, model in models.items():
        for fold in range(folds.max(initial=-1) + 1):
            held_out = folds == fold
            model.fit(columns[~held_out], truth[~held_out])
            predictions[name][held_out] = model.predict(columns[held_out])
    return predictions


def _tau(scores: Floats, truth: Floats, folds: NDArray[np.int64]) -> float:
    """Mean over the folds of Kendall's tau inside a fold, those apart where scores or labels are all equal."""
    taus = []
    for fold in range(folds.max(initial=-1) + 1):
        held_out = folds == fold
        if np.ptp(scores[held_out]) > 0 and np.ptp(truth[held_out]) > 0:
            taus.append(float(kendalltau(scores[held_out], truth[held_out]).statistic))
    return float(np.mean(taus)) if taus else float("nan")
