"""Predictors of a dataset's labels: ours as shipped, with an ingredient taken away, and its rivals.

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
from bench.tabular.dataset import TabularDataset
from bench.tabular.jobs import digest
from narsfast.common.seeds import derive_seed
from narsfast.predictor import Predictor, Process, Surrogate, pretrain
from narsfast.space import Genes, Space

Floats = NDArray[np.float64]
Prediction = tuple[Floats, Floats | None]
"""Means and standard deviations, (m,) each; no deviations where the predictor states none."""

Learner = Callable[[TabularDataset, NDArray[np.int64], Floats, NDArray[np.int64], int], Prediction | None]
"""Dataset, rows learned (n,), their labels (n,), rows to predict (m,), seed; None where it does not apply."""


# Ours


class NoStatistics:
    """A counter that counts nothing: the predictor gets neither pretraining nor statistics as inputs."""

    names: tuple[str, ...] = ()

    def __init__(self, space: Space) -> None:
        self.space = space

    def __call__(self, genes: Genes, /) -> Floats:
        """Return statistics (n, 0)."""
        return np.zeros((len(genes), 0))


@cache
def pretrained(dataset: TabularDataset, seed: int) -> Predictor:
    """Pretrain as `narsfast run` does, with the dataset as the pool; kept, since every fit of a seed starts from it."""
    return pretrain(dataset.counter, dataset.genes, derive_seed(seed, "pretrain"))


def one_member(dataset: TabularDataset, seed: int) -> Predictor:
    """Pretrain a predictor with one ensemble member."""
    return pretrain(dataset.counter, dataset.genes, derive_seed(seed, "pretrain"), members=1)


def scratch(dataset: TabularDataset, seed: int) -> Predictor:
    """Return the same network with its initial weights and without statistics as inputs."""
    return pretrain(NoStatistics(dataset.space), dataset.genes, derive_seed(seed, "pretrain"))


def no_pretraining(dataset: TabularDataset, seed: int) -> Predictor:
    """Return the same model and inputs with the initial weights."""
    return replace(pretrained(dataset, seed), encoder=scratch(dataset, seed).encoder, proxy=())


def learn(
    make: Callable[[TabularDataset, int], Predictor],
    dataset: TabularDataset,
    rows: NDArray[np.int64],
    labels: Floats,
    wanted: NDArray[np.int64],
    seed: int,
) -> Prediction:
    """Predict without a deviation, which takes a cross-validation, five times the time of a fit."""
    return make(dataset, seed).fit(dataset.genes[rows], labels, derive_seed(seed, "fit")).scores(
        dataset.genes[wanted]
    ), None


def learn_ours(
    dataset: TabularDataset, rows: NDArray[np.int64], labels: Floats, wanted: NDArray[np.int64], seed: int
) -> Prediction:
    """Fit and cross-validate, as `narsfast run` does."""
    fitted = pretrained(dataset, seed).fit(dataset.genes[rows], labels, derive_seed(seed, "fit"))
    validation = fitted.cross_validate(dataset.genes[rows], labels, derive_seed(seed, "validation"))
    return fitted.calibrated(validation).predict(dataset.genes[wanted])


def learn_mixture(
    dataset: TabularDataset, rows: NDArray[np.int64], labels: Floats, wanted: NDArray[np.int64], seed: int
) -> Prediction:
    """Fit process and network together, as `narsfast run` does where it is steered."""
    process = Process.of(dataset.counter, dataset.genes)
    mixture = Surrogate(process, pretrained(dataset, seed)).fit(
        dataset.genes[rows], labels, derive_seed(seed, "fit")
    )
    return mixture.predict(dataset.genes[wanted])


# Rivals


def inputs(dataset: TabularDataset) -> NDArray[np.float32]:
    """Return the rivals' inputs (n, D): features of both parts and standardized logarithms of the statistics."""
    logs = np.log(np.maximum(dataset.statistics, 1.0))
    spread = logs.std(axis=0)
    standard = (logs - logs.mean(axis=0)) / np.where(spread > 0, spread, 1)
    return np.concatenate([dataset.space.features(dataset.genes), standard.astype(np.float32)], axis=1)


def statistic(
    name: str, dataset: TabularDataset, _rows: object, _labels: object, wanted: NDArray[np.int64], _seed: int
) -> Prediction | None:
    """Take a statistic itself as the score."""
    if name not in dataset.counter.names:
        return None
    return dataset.statistics[wanted, dataset.counter.names.index(name)].astype(np.float64), None


Regressor = Literal["ridge", "random_forest", "boosting", "gaussian_process"]


def regressor(which: Regressor, seed: int) -> Any:
    """Return a model of scikit-learn, with those of the settings tried that did best over the datasets."""
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
    dataset: TabularDataset,
    rows: NDArray[np.int64],
    labels: Floats,
    wanted: NDArray[np.int64],
    seed: int,
) -> Prediction:
    """Fit a model of scikit-learn."""
    columns = inputs(dataset)
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
        learn: How it learns.
        ours: Whether it is made of narsfast's predictor, and changes with it.
        rival: Whether ours has to beat it.
    """

    learn: Learner
    ours: bool = False
    rival: bool = False

    def version(self) -> str:
        """Return a digest of the sources that its predictions come from."""
        sources = [Path(__file__)]
        if self.ours:
            sources += sorted(Path(narsfast.predictor.__file__).parent.glob("*.py"))
        return digest(sources)


PREDICTORS: dict[str, Variant] = {
    "ours": Variant(learn_ours, ours=True),
    "mixture": Variant(learn_mixture, ours=True),
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
