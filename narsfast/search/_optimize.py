"""Constrained iterative optimization: Algorithm 1, as pure steps and a driver.

The first batch is drawn from the pool at random, later ones are the most promising candidates not yet trained, by an
upper confidence bound; after each batch the predictor is fitted anew to all labels. These steps are our choice; that a
predictor chooses what is trained is FBNetV3's idea. Nothing here trains a network: `evaluate` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from narsfast.common.progress import Progress, silent
from narsfast.common.seeds import derive_seed
from narsfast.common.trial import Fit, Trial
from narsfast.errors import UserError
from narsfast.predictor import UNCALIBRATED, Predictor, compare_regressors
from narsfast.space import Genes

from ._early_stopping import early_stop_epoch
from ._pool import Pool


@dataclass(frozen=True)
class PickedBatch:
    """The candidates of one iteration, in the order picked.

    Attributes:
        index: number of the iteration, from 0.
        indices: (m,) int64, rows of the pool.
        genes: (m, F) int16, canonical.
        scores: m predicted accuracies in percent, by the predictor that picked them; None in the first batch.
        epochs: epochs that each candidate is to be trained for.
    """

    index: int
    indices: NDArray[np.int64]
    genes: Genes
    scores: tuple[float | None, ...]
    epochs: int


@dataclass(frozen=True)
class Optimization:
    """Outcome of `optimize`.

    Attributes:
        trials: all trials, sorted by candidate id.
        batches: what was trained in each iteration.
        early_stop_epoch: epoch of all labels, 1-based.
        predictor: fitted to all labels and calibrated.
        fits: one a batch, or the last one only where nobody asked for them by `on_fit`.
    """

    trials: tuple[Trial, ...]
    batches: tuple[PickedBatch, ...]
    early_stop_epoch: int
    predictor: Predictor
    fits: tuple[Fit, ...]


Evaluate = Callable[[PickedBatch], Iterable[Trial]]
"""Trains a batch and yields each trial as it ends, in any order, exactly one a candidate."""


def first_batch(pool: Pool, m: int, seed: int) -> NDArray[np.int64]:
    """Pick m random members of the pool: (m,) rows.

    Raises:
        UserError: the pool holds fewer than m.
    """
    _check_size(m, len(pool))
    return np.random.default_rng(derive_seed(seed, "first batch")).permutation(len(pool))[:m]


def next_batch(
    predictor: Predictor, pool: Pool, trained: ArrayLike, m: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pick the m most promising members of the pool that are not trained yet, best first.

    They are ordered by the predicted accuracy plus one standard deviation of the predictor's members, so that what
    they disagree on is tried too. Cross-validation leaves no trace in it.

    Args:
        predictor: fitted.
        pool: candidates to pick from.
        trained: rows of the pool that are trained.
        m: size of the batch.

    Returns:
        Rows (m,) and their predicted accuracies in percent (m,); of equally promising ones the earlier row comes first.

    Raises:
        UserError: fewer than m are left.
    """
    open_rows = np.setdiff1d(np.arange(len(pool)), np.asarray(trained, np.int64))
    _check_size(m, len(open_rows))
    scores, spread = replace(predictor, deviation=UNCALIBRATED).predict(pool.genes[open_rows])
    best = np.argsort(-(scores + spread), kind="stable")[:m]
    return open_rows[best], scores[best]


class IterativeOptimization:
    """Algorithm 1 as steps: pick a batch, learn from its trials, and so on.

    The same trials give the same picks, whatever the order in which they arrive.

    Args:
        pool: candidates to pick from.
        predictor: pretrained; every fit starts from its pretrained weights.
        batch: candidates per iteration (m).
        iterations: batches (T).
        epochs: length of the first batch's curves; later batches train up to the early-stop epoch.
        chance: accuracy in percent of a constant guess, the label of a trial that did not end well.
        seed: of the first batch and the fits.
        threshold: see `early_stop_epoch`.
        correlation: see `early_stop_epoch`.
        on_fit: called after each fit with all fits so far and the early-stop epoch. Without it only the last fit
            is cross-validated; the picks are the same.
        progress: told of fits.

    Raises:
        UserError: the pool holds fewer than ``batch * iterations`` candidates, or a size is below 1.
    """

    def __init__(
        self,
        pool: Pool,
        predictor: Predictor,
        *,
        batch: int,
        iterations: int,
        epochs: int,
        chance: float,
        seed: int,
        threshold: float = 0.92,
        correlation: Literal["spearman", "kendall"] = "kendall",
        on_fit: Callable[[Sequence[Fit], int], None] | None = None,
        progress: Progress = silent,
    ) -> None:
        if iterations < 1:
            raise UserError(f"iterations is {iterations}; it should be at least 1")
        _check_size(batch * iterations, len(pool))
        self._pool = pool
        self._predictor = predictor
        self._batch = batch
        self._iterations = iterations
        self._epochs = epochs
        self._chance = chance
        self._seed = seed
        self._threshold = threshold
        self._correlation: Literal["spearman", "kendall"] = correlation
        self._on_fit = on_fit
        self._progress = progress
        self._length = epochs
        self._trials: dict[str, tuple[Trial, NDArray[np.int16]]] = {}
        self._batches: list[PickedBatch] = []
        self._fits: list[Fit] = []
        self._learned = 0

    def next(self) -> PickedBatch | None:
        """Return the batch that is to be trained now: the same one until its trials are learned; None after the last."""
        if self._learned == len(self._batches):
            if self._learned == self._iterations:
                return None
            self._batches.append(self._pick())
        return self._batches[-1]

    def learn(self, trials: Iterable[Trial]) -> None:
        """Fit the predictor to the trials of the present batch and all before.

        Raises:
            RuntimeError: there is no batch to learn from, or not exactly one trial per candidate of it.
        """
        picked = self.next()
        if picked is None:
            raise RuntimeError("all batches are learned")
        self._trials |= _checked(self._predictor, picked, trials)
        index = picked.index
        if index == 0:
            first = list(self._trials.values())
            self._length = _early_stop(first, self._epochs, self._threshold, self._correlation)
        stage = f"fit the predictor, batch {index + 1} of {self._iterations}"
        self._progress(stage, 0, 1)
        genes, labels = _learning_set(self._trials, self._length, self._chance)
        predictor = self._predictor.fit(genes, labels, derive_seed(self._seed, "fit", index))
        if self._on_fit is not None or index + 1 == self._iterations:
            validation = predictor.cross_validate(genes, labels, derive_seed(self._seed, "validation", index))
            predictor = predictor.calibrated(validation)
            seed = derive_seed(self._seed, "baselines", index)
            self._fits.append(
                Fit(len(labels), compare_regressors(predictor, genes, labels, validation, seed))
            )
        self._predictor = predictor
        self._learned += 1
        self._progress(stage, 1, 1)
        if self._on_fit is not None:
            self._on_fit(self._fits, self._length)

    def outcome(self) -> Optimization:
        """Return what is known so far."""
        ordered = tuple(self._trials[identifier][0] for identifier in sorted(self._trials))
        batches = tuple(self._batches[: self._learned])
        return Optimization(ordered, batches, self._length, self._predictor, tuple(self._fits))

    def _pick(self) -> PickedBatch:
        scores: tuple[float | None, ...] = (None,) * self._batch
        if not self._batches:
            rows = first_batch(self._pool, self._batch, self._seed)
        else:
            trained = np.concatenate([picked.indices for picked in self._batches])
            rows, predicted = next_batch(self._predictor, self._pool, trained, self._batch)
            scores = tuple(predicted.tolist())
        return PickedBatch(len(self._batches), rows, self._pool.genes[rows], scores, self._length)


def optimize(
    pool: Pool,
    predictor: Predictor,
    evaluate: Evaluate,
    *,
    batch: int,
    iterations: int,
    epochs: int,
    chance: float,
    seed: int,
    threshold: float = 0.92,
    correlation: Literal["spearman", "kendall"] = "kendall",
    on_fit: Callable[[Sequence[Fit], int], None] | None = None,
    progress: Progress = silent,
) -> Optimization:
    """Train batches of promising candidates, fitting the predictor after each.

    Whoever evaluates decides what "training" means: answering with stored trials resumes a search.

    Args:
        evaluate: trains a batch.
        pool, predictor, batch, iterations, epochs, chance, seed, threshold, correlation, on_fit, progress: as in
            `IterativeOptimization`.

    Raises:
        UserError: as `IterativeOptimization`.
        RuntimeError: `evaluate` did not answer with exactly one trial per candidate.
    """
    steps = IterativeOptimization(
        pool,
        predictor,
        batch=batch,
        iterations=iterations,
        epochs=epochs,
        chance=chance,
        seed=seed,
        threshold=threshold,
        correlation=correlation,
        on_fit=on_fit,
        progress=progress,
    )
    while (picked := steps.next()) is not None:
        steps.learn(evaluate(picked))
    return steps.outcome()


def _check_size(wanted: int, available: int) -> None:
    if not 1 <= wanted <= available:
        raise UserError(
            f"{wanted} candidates are to be trained, but the pool has {available} to pick from; "
            "it should be at least 1 and at most that many"
        )


def _checked(
    predictor: Predictor, picked: PickedBatch, trials: Iterable[Trial]
) -> dict[str, tuple[Trial, NDArray[np.int16]]]:
    """Trial and genes by candidate id."""
    genes = dict(zip(predictor.space.ids(picked.genes), picked.genes, strict=True))
    found: dict[str, tuple[Trial, NDArray[np.int16]]] = {}
    for trial in trials:
        if trial.candidate not in genes or trial.candidate in found:
            raise RuntimeError(f"batch {picked.index} got an unexpected trial of candidate {trial.candidate}")
        found[trial.candidate] = (trial, genes[trial.candidate])
    if len(found) < len(genes):
        missing = ", ".join(sorted(genes.keys() - found.keys()))
        raise RuntimeError(f"batch {picked.index} got no trial of candidates {missing}")
    return found


def _early_stop(
    first: Sequence[tuple[Trial, NDArray[np.int16]]],
    epochs: int,
    threshold: float,
    correlation: Literal["spearman", "kendall"],
) -> int:
    """The early-stop epoch from the complete curves of the first batch."""
    curves = [trial.curve for trial, _ in first if trial.outcome == "ok" and len(trial.curve) == epochs]
    return early_stop_epoch(np.reshape(curves, (len(curves), epochs)), threshold, correlation)


def _learning_set(
    trials: dict[str, tuple[Trial, NDArray[np.int16]]], epoch: int, chance: float
) -> tuple[Genes, NDArray[np.float64]]:
    """Genes (n, F) and labels (n,) of all trials, sorted by candidate id."""
    ordered = [trials[identifier] for identifier in sorted(trials)]
    labels = np.array([trial.label(epoch, chance) for trial, _ in ordered])
    return np.stack([genes for _, genes in ordered]), labels
