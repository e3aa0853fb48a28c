"""Constrained iterative optimization: Algorithm 1, as pure steps and a driver.

The first batch is drawn from the pool at random; later ones are the most promising untrained candidates by an upper
confidence bound. After each batch the predictor is fitted again to all labels. These steps are this project's choice;
that a predictor chooses the candidates to train is FBNetV3's idea. Networks are trained by `evaluate` only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from narsfast.common.early_stopping import EarlyStopping
from narsfast.common.label_noise import LabelNoise
from narsfast.common.progress import Progress, silent
from narsfast.common.seeds import derive_seed
from narsfast.common.trial import Fit, Trial
from narsfast.errors import UserError
from narsfast.predictor import UNCALIBRATED, Predictor, Process, Surrogate, compare_regressors
from narsfast.space import Genes, Space

from ._early_stopping import Correlation, decide_early_stopping
from ._halving import Rung, promoted, reached, rungs, worth_going_on
from ._labels import labels_of
from ._pool import Pool

CURIOSITY = (1.0, 0.3)
"""Weight of the predictor's deviation in the second batch and in the last one, of steered trainings: the last ones are
for what is known to be good (this project's choice)."""
ALIKE = 2
"""Candidates of one architecture in a batch, at most, of steered trainings (this project's choice)."""


@dataclass(frozen=True)
class PickedBatch:
    """The candidates of one iteration, in the order in which they were picked.

    Attributes:
        index: Number of the iteration, from 0.
        indices: (m,) int64, rows of the pool.
        genes: (m, F) int16, canonical.
        scores: M predicted accuracies in percent by the predictor that picked the candidates; None in the first batch.
        epochs: Number of epochs for which each candidate is to be trained, from the beginning of its training.
        rung: Which part of the batch's trainings that is, from 0: later ones are of candidates that go on.
        rungs: How many parts there are.
    """

    index: int
    indices: NDArray[np.int64]
    genes: Genes
    scores: tuple[float | None, ...]
    epochs: int
    rung: int = 0
    rungs: int = 1


@dataclass(frozen=True)
class Optimization:
    """The outcome of `optimize`.

    Attributes:
        trials: All trials, sorted by candidate id.
        batches: The trained batches.
        early_stop_epoch: Epoch at which all labels are taken, 1-based.
        predictor: The predictor, fitted to all labels and calibrated.
        fits: One per batch; without `on_fit` only the last.
        early_stopping: Why it is that epoch; None before the first batch is learned.
    """

    trials: tuple[Trial, ...]
    batches: tuple[PickedBatch, ...]
    early_stop_epoch: int
    predictor: Predictor
    fits: tuple[Fit, ...]
    early_stopping: EarlyStopping | None = None


Evaluate = Callable[[PickedBatch], Iterable[Trial]]
"""A function that trains a batch and yields each trial as it ends, in any order, exactly one per candidate."""


def first_batch(pool: Pool, m: int, seed: int) -> NDArray[np.int64]:
    """Pick the anchors of the pool and random candidates, m together, as many of each band, and return their rows (m,).

    Raises:
        UserError: The pool has fewer than m candidates.
    """
    _check_size(m, len(pool))
    order = np.random.default_rng(derive_seed(seed, "first batch")).permutation(len(pool))
    return _spread(
        pool, np.concatenate([np.arange(pool.anchors), order[order >= pool.anchors]]), m, pool.anchors
    )


def next_batch(
    predictor: Predictor | Surrogate,
    pool: Pool,
    trained: ArrayLike,
    m: int,
    *,
    curiosity: float = 1.0,
    alike: int | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pick the m most promising untrained candidates of the pool, as many of each band, best first.

    They are ordered by predicted accuracy plus a multiple of its standard deviation, so that candidates of which little
    is known are tried too. Of a network that is the deviation of its ensemble, without the calibration.

    Args:
        predictor: A fitted predictor.
        pool: Candidates to pick from.
        trained: Rows of the pool that are trained.
        m: Size of the batch.
        curiosity: That multiple.
        alike: How many of a batch have the same architecture at most, where there are others; None is no limit.

    Returns:
        Rows (m,) and their predicted accuracies in percent (m,); of equally promising ones the earlier row comes first.

    Raises:
        UserError: Fewer than m candidates are left.
    """
    open_rows = np.setdiff1d(np.arange(len(pool)), np.asarray(trained, np.int64))
    _check_size(m, len(open_rows))
    if isinstance(predictor, Predictor):
        predictor = replace(predictor, deviation=UNCALIBRATED)
    scores, spread = predictor.predict(pool.genes[open_rows])
    order = np.argsort(-(scores + curiosity * spread), kind="stable")
    if alike is not None:
        order = _unlike_first(predictor.space, pool.genes[open_rows], order, alike)
    rows = _spread(pool, open_rows[order], m)
    return rows, scores[np.searchsorted(open_rows, rows)]


def _unlike_first(space: Space, genes: Genes, order: NDArray[np.int64], alike: int) -> NDArray[np.int64]:
    """Return the order (n,) with those at its end that come after so many of the same architecture."""
    if not space.searches_architecture:
        return order
    shapes = np.unique(genes[order][:, space.architecture_fields], axis=0, return_inverse=True)[1].ravel()
    by_shape = np.argsort(shapes, kind="stable")
    first = np.searchsorted(shapes[by_shape], shapes[by_shape])
    place = np.empty(len(order), np.int64)
    place[by_shape] = np.arange(len(order)) - first
    return np.concatenate([order[place < alike], order[place >= alike]])


def _spread(pool: Pool, rows: NDArray[np.int64], m: int, first: int = 0) -> NDArray[np.int64]:
    """Return m of these rows: the first ones, then in their order as many of each band as there are."""
    taken = rows[: min(first, m)]
    counts = np.bincount(pool.band[taken], minlength=int(pool.band.max()) + 1)
    rest = rows[len(taken) :]
    bands = pool.band[rest]
    # The place of each row among those of its band, behind those that are taken.
    turns = np.empty(len(rest), np.int64)
    for band in np.unique(bands):
        mine = bands == band
        turns[mine] = counts[band] + np.arange(mine.sum())
    chosen = np.sort(np.argsort(turns, kind="stable")[: m - len(taken)])
    return np.concatenate([taken, rest[chosen]])


class IterativeOptimization:
    """Algorithm 1 in steps: pick a batch, learn from its trials, and so on.

    Equal trials give equal picks, in whatever order they arrive.

    Args:
        pool: Candidates to pick from.
        predictor: A pretrained predictor; every fit starts from its pretrained weights.
        batch: Number of candidates per iteration (m).
        iterations: Number of batches (T).
        epochs: Length of the first batch's curves; later batches are trained up to the early-stop epoch.
        chance: Accuracy in percent of a constant guess, which is the label of trials that did not end well.
        seed: Seed of the first batch and the fits.
        threshold: As for `decide_early_stopping`.
        correlation: As for `decide_early_stopping`.
        halving: Whether batches are halved while they train (`narsfast.search.rungs`): about twice as many candidates
            begin, for as many epochs together, and trainings are not stopped early besides.
        steered: Whether trainings are steered to what they are for: batches have at most `ALIKE` of one architecture,
            and their curiosity falls from the second to the last (`CURIOSITY`).
        noise: As for `decide_early_stopping` and `labels_of`.
        process: A process on the predictor's statistics: both together (`narsfast.predictor.Surrogate`) pick candidates,
            and the predictor's fits are kept beside. None is the predictor alone.
        on_fit: Called after each fit with all fits so far and the early-stop epoch. Without it only the last fit is
            cross-validated, which does not change the picks.
        progress: Called with the stage, the number of fits done and the total.

    Attributes:
        early_stopping: What was decided on the first batch; None before it is learned.

    Raises:
        UserError: The pool has fewer than ``batch * iterations`` candidates, or a size is below 1.
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
        correlation: Correlation = "kendall",
        halving: bool = False,
        steered: bool = False,
        noise: LabelNoise | None = None,
        process: Process | None = None,
        on_fit: Callable[[Sequence[Fit], int], None] | None = None,
        progress: Progress = silent,
    ) -> None:
        if iterations < 1:
            raise UserError(f"iterations is {iterations}; it should be at least 1")
        self._rungs = rungs(batch, epochs) if halving else (Rung(batch, epochs),)
        _check_size(self._rungs[0].candidates * iterations, len(pool))
        self.early_stopping: EarlyStopping | None = None
        self._pool = pool
        self._predictor = predictor
        self._iterations = iterations
        self._epochs = epochs
        self._chance = chance
        self._seed = seed
        self._threshold = threshold
        self._correlation: Correlation = correlation
        self._steered = steered
        self._noise = noise
        self._judge: Predictor | Surrogate = predictor
        self._process = process
        self._surrogate = None if process is None else Surrogate(process, predictor)
        self._on_fit = on_fit
        self._progress = progress
        self._length = epochs
        self._trials: dict[str, tuple[Trial, NDArray[np.int16]]] = {}
        self._batches: list[PickedBatch] = []
        self._fits: list[Fit] = []
        self._learned = 0

    def next(self) -> PickedBatch | None:
        """Return the batch to train, or the next rung of it, the same one until its trials are learned.

        None after the last.
        """
        if self._learned == len(self._batches):
            index = self._batches[-1].index + 1 if self._batches else 0
            if index == self._iterations:
                return None
            self._batches.append(self._pick(index))
        return self._batches[-1]

    def learn(self, trials: Iterable[Trial]) -> None:
        """Choose from the trials of a rung which candidates go on; after the last rung fit the predictor to all trials.

        Raises:
            RuntimeError: There is no batch left, or not exactly one trial per candidate of the batch.
        """
        picked = self.next()
        if picked is None:
            raise RuntimeError("the trials of all batches are learned")
        self._trials |= _checked(self._predictor, picked, trials)
        if picked.rung + 1 < picked.rungs:
            self._batches.append(self._going_on(picked))
            self._learned += 1
            return
        if picked.index == 0:
            self.early_stopping = self._decide()
            self._length = self.early_stopping.epoch
        self._fit(picked.index)
        self._learned += 1

    def restore(
        self,
        batches: Sequence[PickedBatch],
        trials: Iterable[Trial],
        early_stopping: EarlyStopping,
        fits: Sequence[Fit],
    ) -> None:
        """Begin after batches that were learned before, with one fit, that to the trials of all of them.

        Args:
            batches: The first ones of the search, at least one, each once.
            trials: Of all their candidates, as they ended.
            early_stopping: What was decided on the first batch.
            fits: Kept of all batches but the last one of these.
        """
        genes = np.concatenate([picked.genes for picked in batches])
        by_name = dict(zip(self._predictor.space.ids(genes), genes, strict=True))
        self._trials = {
            trial.candidate: (trial, by_name[trial.candidate])
            for trial in trials
            if trial.candidate in by_name
        }
        if len(self._trials) < len(by_name):
            raise RuntimeError("a candidate of a batch that is restored has no trial")
        self._batches, self._fits = list(batches), list(fits)
        self.early_stopping, self._length = early_stopping, early_stopping.epoch
        self._fit(batches[-1].index)
        self._learned = len(batches)

    def _fit(self, index: int) -> None:
        """Fit what judges candidates to all trials so far, those of batch `index` included."""
        stage = f"fit the predictor, batch {index + 1} of {self._iterations}"
        self._progress(stage, 0, 1)
        genes, labels = _training_set(self._trials, self._length, self._chance, self._noise)
        predictor = self._predictor.fit(genes, labels, derive_seed(self._seed, "fit", index))
        if self._on_fit is not None or index + 1 == self._iterations:
            validation = predictor.cross_validate(genes, labels, derive_seed(self._seed, "validation", index))
            predictor = predictor.calibrated(validation)
            seed = derive_seed(self._seed, "baselines", index)
            self._fits.append(
                Fit(len(labels), compare_regressors(predictor, genes, labels, validation, seed))
            )
        self._predictor = predictor
        self._judge = predictor
        if self._surrogate is not None and index + 1 < self._iterations:
            self._judge = self._surrogate.fit(genes, labels, derive_seed(self._seed, "fit", index))
        self._progress(stage, 1, 1)
        if self._on_fit is not None:
            self._on_fit(self._fits, self._length)

    def outcome(self) -> Optimization:
        """Return the outcome so far."""
        ordered = tuple(self._trials[identifier][0] for identifier in sorted(self._trials))
        batches = tuple(picked for picked in self._batches[: self._learned] if not picked.rung)
        return Optimization(
            ordered, batches, self._length, self._predictor, tuple(self._fits), self.early_stopping
        )

    def _decide(self) -> EarlyStopping:
        """Find the early-stop epoch from the complete curves of the first batch."""
        first = [self._trials[identifier][0] for identifier in sorted(self._trials)]
        complete = [t for t in first if t.outcome == "ok" and len(t.curve) == self._epochs]
        curves = [trial.curve for trial in complete]
        array = np.reshape(curves, (len(curves), self._epochs))
        if len(self._rungs) > 1:
            return EarlyStopping(self._epochs, "halving", self._threshold, self._correlation, len(curves))
        return decide_early_stopping(array, self._threshold, self._correlation, self._noise)

    def _going_on(self, picked: PickedBatch) -> PickedBatch:
        """Return the next rung of a batch, whose candidates are chosen by all trials that were trained so long."""
        known = [self._trials[identifier] for identifier in sorted(self._trials)]
        genes = np.stack([genes for _, genes in known])
        worth = worth_going_on(
            [trial for trial, _ in known], genes, picked.epochs, self._chance, self._noise, self._process
        )
        keys = self._predictor.space.keys
        by_key = dict(zip(keys(genes).tolist(), worth.tolist(), strict=True))
        rung = picked.rung + 1
        places = promoted(
            np.array([by_key[key] for key in keys(picked.genes).tolist()]),
            self._pool.band[picked.indices],
            self._rungs[rung].candidates,
        )
        return replace(
            picked,
            indices=picked.indices[places],
            genes=picked.genes[places],
            scores=tuple(picked.scores[place] for place in places.tolist()),
            epochs=self._rungs[rung].epochs,
            rung=rung,
        )

    def _pick(self, index: int) -> PickedBatch:
        size = self._rungs[0].candidates
        scores: tuple[float | None, ...] = (None,) * size
        if not self._batches:
            rows = first_batch(self._pool, size, self._seed)
        else:
            trained = np.concatenate([picked.indices for picked in self._batches])
            first, last = CURIOSITY if self._steered else (1.0, 1.0)
            done = (index - 1) / max(1, self._iterations - 2)
            rows, predicted = next_batch(
                self._judge,
                self._pool,
                trained,
                size,
                curiosity=first + done * (last - first),
                alike=ALIKE if self._steered else None,
            )
            scores = tuple(predicted.tolist())
        epochs = self._rungs[0].epochs if len(self._rungs) > 1 else self._length
        return PickedBatch(index, rows, self._pool.genes[rows], scores, epochs, rungs=len(self._rungs))


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
    correlation: Correlation = "kendall",
    halving: bool = False,
    steered: bool = False,
    noise: LabelNoise | None = None,
    process: Process | None = None,
    on_fit: Callable[[Sequence[Fit], int], None] | None = None,
    progress: Progress = silent,
) -> Optimization:
    """Train batches of promising candidates and fit the predictor after each.

    `evaluate` may train networks or return stored trials, which resumes a search.

    Args:
        pool: As for `IterativeOptimization`.
        predictor: As for `IterativeOptimization`.
        evaluate: A function that trains a batch.
        batch: As for `IterativeOptimization`.
        iterations: As for `IterativeOptimization`.
        epochs: As for `IterativeOptimization`.
        chance: As for `IterativeOptimization`.
        seed: As for `IterativeOptimization`.
        threshold: As for `IterativeOptimization`.
        correlation: As for `IterativeOptimization`.
        halving: As for `IterativeOptimization`.
        steered: As for `IterativeOptimization`.
        noise: As for `IterativeOptimization`.
        process: As for `IterativeOptimization`.
        on_fit: As for `IterativeOptimization`.
        progress: As for `IterativeOptimization`.

    Raises:
        UserError: As for `IterativeOptimization`.
        RuntimeError: `evaluate` did not return exactly one trial per candidate.
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
        halving=halving,
        steered=steered,
        noise=noise,
        process=process,
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
    """Return trial and genes by candidate id after checking that there is one trial per candidate."""
    genes = dict(zip(predictor.space.ids(picked.genes), picked.genes, strict=True))
    found: dict[str, tuple[Trial, NDArray[np.int16]]] = {}
    for trial in trials:
        if trial.candidate not in genes or trial.candidate in found:
            raise RuntimeError(f"batch {picked.index} got an unexpected trial of candidate {trial.candidate}")
        known = reached(trial, picked.epochs) if picked.rung + 1 < picked.rungs else trial
        found[trial.candidate] = (known, genes[trial.candidate])
    if len(found) < len(genes):
        missing = ", ".join(sorted(genes.keys() - found.keys()))
        raise RuntimeError(f"batch {picked.index} got no trial of candidates {missing}")
    return found


def _training_set(
    trials: dict[str, tuple[Trial, NDArray[np.int16]]], epoch: int, chance: float, noise: LabelNoise | None
) -> tuple[Genes, NDArray[np.float64]]:
    """Return genes (n, F) and labels (n,) of all trials, sorted by candidate id."""
    ordered = [trials[identifier] for identifier in sorted(trials)]
    labels = labels_of([trial for trial, _ in ordered], epoch, chance, noise)
    return np.stack([genes for _, genes in ordered]), labels
