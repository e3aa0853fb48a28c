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
from narsfast.predictor import MEMBERS_ALONE, Predictor, compare_regressors
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
    scores, spread = replace(predictor, deviation=MEMBERS_ALONE).predict(pool.genes[open_rows])
    best = np.argsort(-(scores + spread), kind="stable")[:m]
    return open_rows[best], scores[best]


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

    Whoever evaluates decides what "training" means: answering with stored trials resumes a search. The same trials
    give the same picks, whatever the order in which they arrive.

    Args:
        pool: candidates to pick from.
        predictor: pretrained; every fit starts from its pretrained weights.
        evaluate: trains a batch.
        batch: candidates an iteration (m).
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
        RuntimeError: `evaluate` did not answer with exactly one trial a candidate.
    """
    if iterations < 1:
        raise UserError(f"iterations is {iterations}; it should be at least 1")
    _check_size(batch * iterations, len(pool))
    trials: dict[str, tuple[Trial, NDArray[np.int16]]] = {}
    batches: list[PickedBatch] = []
    fits: list[Fit] = []
    length = epochs
    for index in range(iterations):
        scores: tuple[float | None, ...] = (None,) * batch
        if index == 0:
            rows = first_batch(pool, batch, seed)
        else:
            trained = np.concatenate([picked.indices for picked in batches])
            rows, predicted = next_batch(predictor, pool, trained, batch)
            scores = tuple(predicted.tolist())
        batches.append(PickedBatch(index, rows, pool.genes[rows], scores, length))
        new = _evaluated(predictor, evaluate, batches[-1])
        trials |= new
        if index == 0:
            length = _early_stop(list(new.values()), epochs, threshold, correlation)
        stage = f"fit the predictor, batch {index + 1} of {iterations}"
        progress(stage, 0, 1)
        genes, labels = _learning_set(trials, length, chance)
        predictor = predictor.fit(genes, labels, derive_seed(seed, "fit", index))
        if on_fit is not None or index + 1 == iterations:
            validation = predictor.cross_validate(genes, labels, derive_seed(seed, "validation", index))
            predictor = predictor.calibrated(validation)
            taus = compare_regressors(
                predictor, genes, labels, validation, derive_seed(seed, "baselines", index)
            )
            fits.append(Fit(len(labels), taus))
        progress(stage, 1, 1)
        if on_fit is not None:
            on_fit(fits, length)
    ordered = tuple(trials[identifier][0] for identifier in sorted(trials))
    return Optimization(ordered, tuple(batches), length, predictor, tuple(fits))


def _check_size(wanted: int, available: int) -> None:
    if not 1 <= wanted <= available:
        raise UserError(
            f"{wanted} candidates are to be trained, but the pool has {available} to pick from; "
            "it should be at least 1 and at most that many"
        )


def _evaluated(
    predictor: Predictor, evaluate: Evaluate, picked: PickedBatch
) -> dict[str, tuple[Trial, NDArray[np.int16]]]:
    """Trial and genes by candidate id."""
    genes = dict(zip(predictor.space.ids(picked.genes), picked.genes, strict=True))
    trials: dict[str, tuple[Trial, NDArray[np.int16]]] = {}
    for trial in evaluate(picked):
        if trial.candidate not in genes or trial.candidate in trials:
            raise RuntimeError(f"batch {picked.index} got an unexpected trial of candidate {trial.candidate}")
        trials[trial.candidate] = (trial, genes[trial.candidate])
    if len(trials) < len(genes):
        missing = ", ".join(sorted(genes.keys() - trials.keys()))
        raise RuntimeError(f"batch {picked.index} got no trial of candidates {missing}")
    return trials


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
