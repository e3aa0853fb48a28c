"""Predictors of a table's labels: ours as shipped, with an ingredient taken away, and its rivals.

A predictor is a function that learns the labels of some rows and predicts others. `PREDICTORS` names all of them; a
new variant is a new entry.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from sklearn.linear_model import RidgeCV

import narsfast.predictor
from bench.tabular.dataset import Table
from bench.tabular.jobs import digest
from narsfast.common.seeds import derive_seed
from narsfast.predictor import Predictor, pretrain
from narsfast.space import Genes, Space

Floats = NDArray[np.float64]
Prediction = tuple[Floats, Floats | None]
"""Means and standard deviations, (m,) each; no deviations where the predictor states none."""

Learner = Callable[[Table, NDArray[np.int64], Floats, NDArray[np.int64], int], Prediction | None]
"""Table, rows learned (n,), their labels (n,), rows to predict (m,), seed; None where it does not apply."""


# Ours


class NoStatistics:
    """A counter that counts nothing: the predictor gets neither pretraining nor statistics as inputs."""

    names: tuple[str, ...] = ()

    def __init__(self, space: Space) -> None:
        self.space = space

    def __call__(self, genes: Genes, /) -> Floats:
        """(n, 0)."""
        return np.zeros((len(genes), 0))


@cache
def pretrained(table: Table, seed: int) -> Predictor:
    """As `narsfast run` makes it, with the table as the pool: kept, since every fit of a seed starts from it."""
    return pretrain(table.counter, table.genes, derive_seed(seed, "pretrain"))


def one_member(table: Table, seed: int) -> Predictor:
    return pretrain(table.counter, table.genes, derive_seed(seed, "pretrain"), members=1)


def scratch(table: Table, seed: int) -> Predictor:
    """The same network, from its initial weights and without statistics as inputs."""
    return pretrain(NoStatistics(table.space), table.genes, derive_seed(seed, "pretrain"))


def no_pretraining(table: Table, seed: int) -> Predictor:
    """The same model and inputs, from the initial weights."""
    return replace(pretrained(table, seed), encoder=scratch(table, seed).encoder, proxy=())


def learn(
    make: Callable[[Table, int], Predictor],
    table: Table,
    rows: NDArray[np.int64],
    labels: Floats,
    wanted: NDArray[np.int64],
    seed: int,
) -> Prediction:
    """Accuracies without a deviation: it takes a cross-validation, five times the time of a fit."""
    return make(table, seed).fit(table.genes[rows], labels, derive_seed(seed, "fit")).scores(
        table.genes[wanted]
    ), None


def learn_ours(
    table: Table, rows: NDArray[np.int64], labels: Floats, wanted: NDArray[np.int64], seed: int
) -> Prediction:
    """Fit and cross-validation, as `narsfast run` does."""
    fitted = pretrained(table, seed).fit(table.genes[rows], labels, derive_seed(seed, "fit"))
    validation = fitted.cross_validate(table.genes[rows], labels, derive_seed(seed, "validation"))
    return fitted.calibrated(validation).predict(table.genes[wanted])


# Rivals


def inputs(table: Table) -> NDArray[np.float32]:
    """(n, D): features of both parts and the standardized logarithms of the statistics."""
    logs = np.log(np.maximum(table.statistics, 1.0))
    spread = logs.std(axis=0)
    standard = (logs - logs.mean(axis=0)) / np.where(spread > 0, spread, 1)
    return np.concatenate([table.space.features(table.genes), standard.astype(np.float32)], axis=1)


def statistic(
    name: str, table: Table, _rows: object, _labels: object, wanted: NDArray[np.int64], _seed: int
) -> Prediction | None:
    """The statistic itself as a score."""
    if name not in table.counter.names:
        return None
    return table.statistics[wanted, table.counter.names.index(name)].astype(np.float64), None


Regressor = Literal["ridge", "random_forest", "boosting", "gaussian_process"]


def regressor(which: Regressor, seed: int) -> Any:
    """A model of scikit-learn; of the settings tried, those that did best over the tables."""
    if which == "ridge":
        return RidgeCV(alphas=np.logspace(-3, 3, 13))
    if which == "random_forest":
        return RandomForestRegressor(300, random_state=seed % 2**32)
    if which == "boosting":
        return GradientBoostingRegressor(
            n_estimators=300, learning_rate=0.05, subsample=0.8, random_state=seed % 2**32
        )
    kernel = ConstantKernel() * Matern(5.0, nu=2.5) + WhiteKernel(0.1)
    return GaussianProcessRegressor(kernel, normalize_y=True)


def learn_regressor(
    which: Regressor,
    table: Table,
    rows: NDArray[np.int64],
    labels: Floats,
    wanted: NDArray[np.int64],
    seed: int,
) -> Prediction:
    columns = inputs(table)
    model = regressor(which, derive_seed(seed, which))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a kernel's parameter at the end of its range
        model.fit(columns[rows], labels)
    if which == "gaussian_process":
        return model.predict(columns[wanted], return_std=True)  # type: ignore[no-any-return]
    return model.predict(columns[wanted]), None


@dataclass(frozen=True)
class Variant:
    """One predictor.

    Attributes:
        learn: how it learns.
        ours: whether it is made of narsfast's predictor, and changes with it.
        rival: whether ours has to beat it.
    """

    learn: Learner
    ours: bool = False
    rival: bool = False

    def version(self) -> str:
        """A digest of the sources that its predictions come from."""
        sources = [Path(__file__)]
        if self.ours:
            sources += sorted(Path(narsfast.predictor.__file__).parent.glob("*.py"))
        return digest(sources)


PREDICTORS: dict[str, Variant] = {
    "ours": Variant(learn_ours, ours=True),
    "scratch": Variant(partial(learn, scratch), ours=True, rival=True),
    "no_pretraining": Variant(partial(learn, no_pretraining), ours=True),
    "one_member": Variant(partial(learn, one_member), ours=True),
    "params": Variant(partial(statistic, "params"), rival=True),
    "macs": Variant(partial(statistic, "macs"), rival=True),
    **{
        which: Variant(partial(learn_regressor, which), rival=True)
        for which in ("ridge", "random_forest", "boosting", "gaussian_process")
    },
}
