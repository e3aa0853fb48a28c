"""Training the candidates of a stage: what the run holds is not trained again."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from narsfast.common import machine
from narsfast.common.candidate import Candidate
from narsfast.common.early_stopping import EarlyStopping
from narsfast.common.trial import Fit, Trial
from narsfast.errors import MachineError, UserError
from narsfast.runs import PickedCandidate, Purpose, run_trials
from narsfast.search import PickedBatch
from narsfast.training import CHECKPOINT_FILE, TrialTask, remove_checkpoint, run_trial

from ._own import Evaluate
from ._search import CHECKPOINTS_FOLDER, Search

_log = logging.getLogger("narsfast.machine")


def evaluate_batch(search: Search, batch: PickedBatch) -> Iterator[Trial]:
    """Train a batch that Algorithm 1 picked, and keep everything about it in the run.

    Of a later rung of a batch, what its candidates go on from is kept, and the other checkpoints are removed.

    Raises:
        UserError: No training of the batch ended well.
    """
    candidates = store_batch(search, batch)
    asked = dict.fromkeys((candidate.id for candidate in candidates), batch.epochs)
    if (
        asked.keys() - stored_trials(search, "search", asked).keys()
    ):  # not where a run that goes on gets past it
        remove_unused(search, asked)
    stage = f"optimize: batch {batch.index + 1} of {search.config.iterations}"
    if batch.rungs > 1:
        stage += f", rung {batch.rung + 1} of {batch.rungs}"
    if search.own.evaluate is not None:
        trials = _own_trials(search, search.own.evaluate, candidates, batch.epochs, stage)
    else:
        epochs = search.config.epochs
        costs = search.store.facts.statistics or {}
        longest_first = sorted(candidates, key=lambda candidate: -costs[candidate.id].get("macs", 0))
        tasks = [search.task(candidate, batch.epochs, epochs, "search") for candidate in longest_first]
        trials = run_tasks(search, tasks, "search", stage)
    bad: list[Trial] = []
    for trial in trials:
        bad += [trial] if trial.outcome != "ok" else []
        yield trial
    if len(bad) == len(candidates) and not batch.rung:
        raise UserError(f"no training of batch {batch.index + 1} ended well, the first {bad[0].ending()}")


def store_batch(search: Search, batch: PickedBatch) -> list[Candidate]:
    """Keep a batch and what its candidates cost, and return them; those of a later rung are kept already."""
    candidates = search.space.decode(batch.genes)
    if batch.rung:
        return candidates
    picked = [
        PickedCandidate(candidate.id, tuple(genes), candidate.architecture, candidate.recipe, score)
        for candidate, genes, score in zip(candidates, batch.genes.tolist(), batch.scores, strict=True)
    ]
    search.store.add_batch(batch.index, batch.epochs, picked)
    counted = search.statistics(batch.genes)
    search.store.facts.statistics = {
        **(search.store.facts.statistics or {}),
        **{candidate.id: row for candidate, row in zip(candidates, counted, strict=True)},
    }
    return candidates


def _own_trials(
    search: Search, evaluate: Evaluate, candidates: Sequence[Candidate], epochs: int, stage: str
) -> Iterator[Trial]:
    """Yield trials by the user's own trainer: those in the run first, then those trained now.

    One that was lost is no trial: it is asked for again.
    """
    stored = stored_trials(search, "search", dict.fromkeys((one.id for one in candidates), epochs))
    missing = {candidate.id: candidate for candidate in candidates if candidate.id not in stored}
    yield from (stored[candidate.id] for candidate in candidates if candidate.id in stored)
    done = len(candidates) - len(missing)
    search.progress(stage, done, len(candidates))
    delays = iter(machine.RETRY_DELAYS)
    while missing:
        lost: dict[str, Trial] = {}
        for trial in evaluate(list(missing.values()), epochs):
            if not isinstance(trial, Trial) or trial.candidate not in missing or trial.candidate in lost:
                raise UserError(
                    f"evaluate gave {trial!r}; it should give one narsfast.Trial per candidate that it was asked for"
                )
            if trial.outcome == "lost":
                lost[trial.candidate] = trial
                continue
            del missing[trial.candidate]
            search.store.add_trial(trial, "search")
            done += 1
            search.progress(stage, done, len(candidates))
            yield trial
        if silent := [name for name in missing if name not in lost]:
            raise UserError(
                f"evaluate gave no trial of {', '.join(silent)}; it should give one per candidate"
            )
        if lost:
            _wait_for(delays, next(iter(lost.values())))


def _wait_for(delays: Iterator[float], lost: Trial) -> None:
    """Wait before lost trainings of the user's trainer are asked for again.

    Raises:
        MachineError: That was done often enough.
    """
    what = f"evaluate lost the training of candidate {lost.candidate} ({lost.message})"
    delay = next(delays, None)
    if delay is None:
        raise MachineError(what, "see to the machines that train", False)
    _log.warning("%s; it is asked for again in %g s", what, delay)
    time.sleep(delay)


def run_tasks(search: Search, tasks: Sequence[TrialTask], purpose: Purpose, stage: str) -> Iterator[Trial]:
    """Yield trials of the tasks as they end: those in the run first, then those trained now.

    A training of which the run has a beginning goes on from there.
    """
    stored = stored_trials(search, purpose, {task.candidate: task.epochs for task in tasks})
    open_tasks = {task.candidate: task for task in tasks if task.candidate not in stored}
    shares = dict.fromkeys(open_tasks, 0.0)
    done = len(tasks) - len(open_tasks)

    def report(task: TrialTask, share: float) -> None:
        shares[task.candidate] = share
        search.progress(stage, done + sum(shares.values()), len(tasks))

    search.progress(stage, done, len(tasks))
    for task in tasks:
        if task.candidate in stored:
            _end(task, stored[task.candidate])
            yield stored[task.candidate]
    if not open_tasks:
        return
    for trial in run_trials(
        search.executor,
        run_trial,
        list(open_tasks.values()),
        timeout=search.config.trial_timeout,
        started=lambda task: search.store.started(task.candidate, purpose, task.epochs),
        report=report,
    ):
        search.store.add_trial(trial, purpose)
        _end(open_tasks[trial.candidate], trial)
        shares[trial.candidate] = 1.0
        search.progress(stage, done + sum(shares.values()), len(tasks))
        yield trial


def stored_trials(search: Search, purpose: Purpose, asked: Mapping[str, int]) -> dict[str, Trial]:
    """Return the trials of the run that need no training, by candidate.

    Args:
        search: Of the run.
        purpose: Of all of them.
        asked: How many epochs are wanted, by candidate; one that ended well before goes on.
    """
    return {
        trial.candidate: trial
        for trial in search.store.trials(purpose)
        if trial.outcome != "ok" or trial.epochs >= asked.get(trial.candidate, 0)
    }


def _end(task: TrialTask, trial: Trial) -> None:
    """Remove the checkpoint of a training that will not go on."""
    if trial.outcome != "ok" or task.epochs == task.schedule_epochs or task.checkpoint_seconds:
        remove_checkpoint(task)


def remove_checkpoints(search: Search, finals: Iterable[Trial]) -> None:
    """Remove what full trainings that were not taken to their end would have gone on from."""
    for trial in finals:
        (search.store.path / "weights" / trial.candidate / CHECKPOINT_FILE).unlink(missing_ok=True)


def remove_unused(search: Search, used: Container[str] = ()) -> None:
    """Remove what the search's trainings go on from, but for these candidates."""
    checkpoints = search.store.path / CHECKPOINTS_FOLDER
    for folder in checkpoints.glob("*"):
        if folder.name not in used:
            shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # others are used, or there are none
        checkpoints.rmdir()


def store_fits(search: Search, fits: Sequence[Fit], early_stopping: EarlyStopping | None) -> None:
    """Keep how well the predictor ranks after each batch, and the early-stop epoch."""
    search.store.facts.early_stopping = early_stopping
    search.store.facts.early_stop_epoch = None if early_stopping is None else early_stopping.epoch
    search.store.facts.fits = tuple(fits)
