"""The stages of a search as functions: what the command line and users call.

Each stage takes a run, does what is not yet done, and leaves its outcome in the run; so a stage called again is
free, and a run that was stopped anywhere goes on. The order is pretrain, optimise, evolve, train, emit.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from . import __version__
from .arch import definition_of
from .config import RunConfig, resolve_config
from .cost import Budget, Counter
from .data import Dataset, load_data
from .emit import emit_network
from .errors import UserError
from .predictor import Predictor
from .predictor import pretrain as pretrain_predictor
from .progress import Progress, silent
from .runs import BatchMember, Executor, InProcess, Processes, Result, Run, run_trials
from .search import Evolved, Optimisation, Pool, sample_pool
from .search import evolve as evolve_candidates
from .search import optimise as optimise_candidates
from .seeds import derive_seed
from .space import Candidate, Recipe, Space
from .training import TrialTask, evaluate, load_network, run_trial
from .trial import Trial


class Search:
    """What the stages of one run share: its space, data, statistics and executor, each made when first used.

    Attributes:
        run: the run directory, opened for writing.
        config: its configuration.
        progress: told of every long stage.
    """

    def __init__(self, run: Run, workers: int = 1, progress: Progress = silent) -> None:
        self.run = run
        self.config = RunConfig.model_validate(run.config)
        self.progress = progress
        self._workers = workers

    def __enter__(self) -> Search:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers and let go of the run directory."""
        if "executor" in self.__dict__:
            self.executor.shutdown()
        self.run.close()

    @cached_property
    def space(self) -> Space:
        """The space, with the fields that the user fixed."""
        return Space.from_dict(self.config.space)

    @cached_property
    def data(self) -> Dataset:
        """The images in three splits."""
        return load_data(self.config.data)

    @cached_property
    def counter(self) -> Counter:
        """Statistics of genes for networks that fit the data."""
        return Counter(self.space, in_chans=self.data.in_chans, num_classes=len(self.data.classes))

    @cached_property
    def executor(self) -> Executor:
        """Where trials run."""
        threads = self.config.threads_per_trial
        return InProcess() if self._workers <= 1 else Processes(self._workers, threads_per_trial=threads)

    def seed(self, *purpose: str | int) -> int:
        """Seed for one purpose of this run."""
        return derive_seed(self.config.seed, *purpose)

    def task(self, candidate: Candidate, epochs: int, schedule_epochs: int, purpose: str) -> TrialTask:
        """The training of one candidate as a message to an executor."""
        genes = self.space.encode([candidate])
        output = self.run.path / "weights" if purpose == "final" else None
        return TrialTask(
            candidate=candidate.id,
            definition=definition_of(self.space, genes)[0].to_json(),
            recipe=Recipe(**candidate.recipe).model_dump(),
            data=self.config.data,
            epochs=epochs,
            schedule_epochs=schedule_epochs,
            seed=self.seed(purpose, candidate.id),
            threads=self.config.threads_per_trial,
            output=None if output is None else str(output / f"{candidate.id}.safetensors"),
        )


def open_search(
    out: str | Path,
    options: Mapping[str, Any] | None = None,
    workers: int | None = None,
    progress: Progress = silent,
) -> Search:
    """Open a run directory for writing: a new one, or one that goes on.

    Args:
        out: the run directory.
        options: what the user said (`narsfast.config.resolve_config`); None to go on with what is stored.
        workers: trials at once, each in a process of its own; None is one a core (one a GPU where there are any).
        progress: told of every long stage.

    Raises:
        UserError: another process writes to the run, or the run was made with other options.
    """
    out = Path(out)
    stored = Run.stored_config(out)
    if stored is None and options is None:
        raise UserError(f"run: {out} is no run directory; `narsfast run --out {out}` makes one")
    config = resolve_config(options or {}, stored)
    run = Run.open(out, config.model_dump(mode="json"))
    if run.fact("versions") is None:
        run.put_fact("versions", _versions())
    return Search(run, workers or _default_workers(), progress)


def run(
    out: str | Path,
    options: Mapping[str, Any] | None = None,
    workers: int | None = None,
    progress: Progress = silent,
) -> list[Result]:
    """Run every stage; arguments as in `open_search`.

    Returns:
        One result a budget, in the order of the budgets.
    """
    with open_search(out, options, workers, progress) as search:
        pretrain(search)
        optimise(search)
        evolve(search)
        train(search)
        return emit(search)


def pretrain(search: Search) -> Predictor:
    """Sample the pool (Algorithm 1, step 2) and pretrain the predictor on the pool's statistics."""
    folder = search.run.path / "pretrained"
    if search.run.fact("predictor_pretraining") is not None:
        return Predictor.load(folder, search.space)
    search.run.put_fact("stage", "pretrain")
    pool = _pool(search)
    predictor = pretrain_predictor(
        search.counter,
        pool.genes,
        search.seed("pretrain"),
        members=search.config.members,
        progress=search.progress,
    )
    predictor.save(folder)
    search.run.put_fact("chance", search.data.chance)
    search.run.put_fact("predictor_pretraining", predictor.pretraining.to_dict())
    return predictor


def optimise(search: Search) -> Predictor:
    """Train batches of promising candidates and refit the predictor after each (Algorithm 1, step 3).

    Trials that the run already holds are not trained again.
    """
    folder = search.run.path / "predictor"
    if search.run.fact("fits") is not None:
        return Predictor.load(folder, search.space)
    pretrained = pretrain(search)
    search.run.put_fact("stage", "optimise")
    config = search.config
    pool = _pool(search)

    def evaluate(batch: int, candidates: Sequence[Candidate], epochs: int) -> Iterator[Trial]:
        return _evaluate(search, batch, candidates, epochs)

    outcome = optimise_candidates(
        pool,
        pretrained,
        evaluate,
        batch=config.batch,
        iterations=config.iterations,
        epochs=config.epochs,
        chance=search.data.chance,
        seed=search.seed("optimise"),
        threshold=config.threshold,
        correlation=config.correlation,
        on_batch=lambda batch: _store_batch(search, pool, batch),
        on_fit=None,
    )
    outcome.predictor.save(folder)
    search.run.put_fact("early_stop_epoch", outcome.early_stop_epoch)
    search.run.put_fact("fits", outcome.fits)
    return outcome.predictor
