"""Simple regressors, evaluated by the same cross-validation as the predictor."""

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
MAX_COMPARED = 2000
"""Most labels that are compared by: a forest on more takes minutes (this project's choice)."""


def compare_regressors(
    predictor: Predictor, genes: ArrayLike, labels: ArrayLike, validation: CrossValidation, seed: int
) -> dict[str, float]:
    """Compare the predictor with simple regressors by Kendall's tau, cross-validated on the same folds.

    Of more than `MAX_COMPARED` labels so many are drawn. Tau is computed within each held-out fold and averaged, as
    outputs centered on different training sets are not comparable across folds.

    Args:
        predictor: A pretrained predictor; its fit, if any, is not used.
        genes: (n, F) canonical.
        labels: (n,) accuracy in percent.
        validation: Cross-validation of the predictor on the same labels, which determines the folds.
        seed: Seed of the random forest.

    Returns:
        Tau of ``params`` and ``macs`` (the statistic itself as a score), ``ridge`` and ``random_forest`` (on features
        and standardized statistics) and ``predictor``. It is nan if undefined: too few labels for folds, constant
        labels or scores, or a statistic that the space does not have.
    """
    inputs, percent = predictor.training_set(genes, labels)
    drawn = np.arange(len(percent))
    if len(drawn) > MAX_COMPARED:
        drawn = np.sort(np.random.default_rng(derive_seed(seed, "drawn")).permutation(drawn)[:MAX_COMPARED])
    truth, folds = percent.numpy().astype(np.float64)[drawn], validation.folds[drawn]
    columns = torch.cat([inputs.architecture, inputs.recipe, inputs.statistics], dim=1).numpy()[drawn]
    statistics = inputs.statistics.numpy()[drawn]
    scores = {name: _statistic(predictor, statistics, name) for name in ("params", "macs")}
    scores |= _held_out_predictions(columns, truth, folds, derive_seed(seed, "forest"))
    scores["predictor"] = validation.outputs[drawn]
    return {name: _tau(values, truth, folds) for name, values in scores.items()}


def _statistic(predictor: Predictor, statistics: NDArray[np.float32], name: str) -> Floats:
    if name not in predictor.names:
        return np.zeros(len(statistics))
    return statistics[:, predictor.names.index(name)].astype(np.float64)


def _held_out_predictions(
    columns: NDArray[np.float32], truth: Floats, folds: NDArray[np.int64], seed: int
) -> Mapping[str, Floats]:
    """Predict each fold by ridge regression and random forest fitted to the other folds."""
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
    """Average Kendall's tau over the folds, leaving out folds in which scores or labels are all equal."""
    taus = []
    for fold in range(folds.max(initial=-1) + 1):
        held_out = folds == fold
        if np.ptp(scores[held_out]) > 0 and np.ptp(truth[held_out]) > 0:
            taus.append(float(kendalltau(scores[held_out], truth[held_out]).statistic))
    return float(np.mean(taus)) if taus else float("nan")
