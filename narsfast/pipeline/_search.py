"""What the stages of one run share: its space, data, statistics and executor."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from narsfast.arch import WEIGHTS_FILE, NetworkSpec, Parent, specs_of
from narsfast.common.progress import Progress, silent
from narsfast.common.seeds import derive_seed
from narsfast.cost import LATENCY, STATISTICS, Budget, Counter, LatencyTable, named
from narsfast.data import Dataset
from narsfast.errors import UserError
from narsfast.runs import Executor, InProcess, Processes, RunStore
from narsfast.search import ExtendedCounter, Pool, sample_bands, sample_pool
from narsfast.space import PARENT, Candidate, Genes, Space
from narsfast.training import InheritedStart, TaskData, TrainerSettings, TrialTask

from ._anchors import anchors, near_anchors
from ._config import RunConfig
from ._data import CONTENT_FILE, largest_resolution, run_data
from ._kept_pool import POOL_FILE, kept_pool
from ._own import Own
from ._parents import PARENTS_FOLDER, parent_file, stored_parents
from ._recipe_search import network_statistics

CHECKPOINTS_FOLDER = "checkpoints"
"""Folder of what trainings of the search go on from, in the run."""
CHECKPOINT_SECONDS = 120.0
"""Of a training of the search that goes on only where it was killed, what may be lost of it, beside an epoch (this
project's choice): most are shorter, and keep nothing."""


class Search:
    """What the stages of one run share: its space, data, statistics and executor, each made when first used.

    Attributes:
        store: The run directory, opened for writing.
        config: Its configuration.
        progress: Told of every long stage.
        own: What the user brings.
        workers: Trials at once.
        began: Since when this process drives the run, by `time.perf_counter`.
    """

    def __init__(
        self, store: RunStore, workers: int = 1, progress: Progress = silent, own: Own | None = None
    ) -> None:
        self.store = store
        self.config = RunConfig.of_stored(store.config)
        self.progress = progress
        self.own = own or Own()
        self.workers = workers
        self.began = time.perf_counter()

    def seconds(self) -> float:
        """Return for how long this process has driven the run, or since `began` was set anew."""
        return time.perf_counter() - self.began

    def __enter__(self) -> Search:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers and let go of the run directory."""
        self.end_workers()
        self.store.close()

    def end_workers(self) -> None:
        """End the processes that train, and free their memory; the next training starts new ones."""
        if "executor" in self.__dict__:
            if self.own.executor is None:
                self.executor.shutdown()
            del self.executor

    @cached_property
    def trainer(self) -> TrainerSettings:
        """How the run's trainings are computed, with what each ``auto`` stood for when the run was created."""
        settings, chosen = self.config.trainer, self.store.facts.versions or {}
        update = {name: chosen[name] for name in TrainerSettings.model_fields if name in chosen}
        return settings.model_copy(update=update)

    @cached_property
    def space(self) -> Space:
        """The space, with the fields that the user fixed."""
        return Space.from_dict(self.config.space)

    @cached_property
    def data(self) -> Dataset:
        """The images in three splits.

        Raises:
            UserError: They are not those that the run was created with.
        """
        return run_data(self.store, self.config)

    @cached_property
    def resolution(self) -> int:
        """The largest resolution of the space, in pixels."""
        return largest_resolution(self.config)

    @cached_property
    def counter(self) -> Counter | ExtendedCounter:
        """Statistics of genes for networks that fit the data."""
        table = None
        if self.config.latency is not None:
            stored = self.store.facts.latency
            if stored is None:
                raise UserError(
                    f"latency: {self.store.path} stopped before it had its table; give it again as `latency`"
                )
            table = LatencyTable.from_dict(stored)
        counter = Counter(self.space, self.data.in_chans, len(self.data.classes), table)
        if not self.own.statistics:
            return counter
        decode = self.space.decode
        functions = {
            name: lambda genes, function=function: function(decode(genes))
            for name, function in self.own.statistics.items()
        }
        return ExtendedCounter(counter, functions)

    def budget(self, text: str, field: str = "budget") -> Budget:
        """Read a budget, whose bounds may be on the user's own statistics too; `field` is its name in messages."""
        return Budget.parse(text, (*STATISTICS, LATENCY, *self.config.extra_statistics), field)

    @cached_property
    def model_statistics(self) -> dict[str, int]:
        """What the network costs whose recipe is searched; empty where the architecture is searched too.

        Raises:
            UserError: The network cannot take the images.
        """
        model = self.config.model
        if model is None:
            return {}
        (network,) = (
            [parent.spec(self.resolution) for parent in self.parents.values()]
            if self.config.pretrained
            else [NetworkSpec(model, self.resolution)]
        )
        return network_statistics(network, self.data)

    def statistics(self, genes: Genes) -> list[dict[str, int | float]]:
        """Count canonical genes (n, F): statistics by name, in JSON types."""
        if self.config.model is not None:
            return [dict(self.model_statistics) for _ in genes]
        return named(self.counter.names, self.counter(genes))

    @property
    def steered(self) -> bool:
        """Whether candidates are trained for the budgets, and not across the pool's bounds."""
        return not (self.config.explore or self.config.pool_bounds)

    @property
    def bands(self) -> list[Budget]:
        """What the candidates of the pool are drawn for: its bounds, each budget, or anything; at least one."""
        texts = self.config.budgets if self.steered else (self.config.pool_bounds,)
        return [self.budget(text) for text in texts if text] or [Budget({})]

    @cached_property
    def pool(self) -> Pool:
        """The pool, which the run keeps: a function of the configuration."""
        names = (
            "space",
            "budgets",
            "pool_bounds",
            "explore",
            "pool_size",
            "seed",
            "latency",
            "extra_statistics",
        )
        stored = self.config.to_stored()
        known = {name: stored.get(name) for name in names}
        made_of = json.dumps([known, self.data.in_chans, len(self.data.classes)], sort_keys=True)
        digest = hashlib.sha256(made_of.encode()).hexdigest()
        return kept_pool(self.store.path / POOL_FILE, digest, self.counter, self._sampled_pool)

    def _sampled_pool(self) -> Pool:
        self.progress("sample the pool", 0, 1)
        size, seed = self.config.pool_size, self.seed("pool")
        if self.steered:
            pool = sample_bands(self.counter, self.bands, size, seed)
        else:
            bounds = self.budget(self.config.pool_bounds) if self.config.pool_bounds else None
            pool = sample_pool(self.counter, bounds, size, seed)
        if self.space.parents:
            pool = near_anchors(pool, self.counter, self.bands, size, self.seed("near"))
        if self.steered or self.space.parents:
            pool = pool.anchored(self.counter, *anchors(self.counter, self.bands))
        self.progress("sample the pool", 1, 1)
        return pool

    @cached_property
    def executor(self) -> Executor:
        """Where trials run."""
        if self.own.executor is not None:
            return self.own.executor
        config = self.config
        if self.workers <= 1:
            return InProcess()
        return Processes(
            self.workers,
            threads_per_trial=config.threads_per_trial,
            gpus_per_worker=config.processes_per_trial,
        )

    def seed(self, *purpose: str | int) -> int:
        """Derive the seed of one purpose of this run."""
        return derive_seed(self.config.seed, *purpose)

    def task(self, candidate: Candidate, epochs: int, schedule_epochs: int, purpose: str) -> TrialTask:
        """Return the training of one candidate as a message to an executor."""
        network = self._network(candidate)
        parent = self.parent_of(candidate)
        final = purpose == "final"
        folder = self.store.path / ("weights" if final else CHECKPOINTS_FOLDER)
        return TrialTask(
            candidate=candidate.id,
            network=network,
            recipe=candidate.recipe,
            epochs=epochs,
            schedule_epochs=schedule_epochs,
            seed=self.seed(purpose, candidate.id),
            settings=self.trainer,
            output=str(folder / candidate.id),
            keep_weights=final,
            checkpoint_seconds=0.0 if final or self.config.halving else CHECKPOINT_SECONDS,
            start=None if parent is None else self.start_of_child(str(candidate.architecture[PARENT])),
            preparation=None if parent is None else parent.preparation,
            **self.task_data(),
        )

    @cached_property
    def parents(self) -> Mapping[str, Parent]:
        """The pretrained networks whose children the candidates are, by name.

        Raises:
            UserError: The run's copy of one cannot be read.
        """
        return stored_parents(self.store.path, self.space)

    def parent_of(self, candidate: Candidate) -> Parent | None:
        """Return the pretrained network that a candidate is a child of; None where it starts from scratch."""
        return self.parents[str(candidate.architecture[PARENT])] if self.space.parents else None

    def start_from(self, parent: str) -> InheritedStart:
        """Return the start from the run's copy of a parent, by its name in the space."""
        return InheritedStart(str(parent_file(self.store.path.absolute(), parent)))

    @property
    def tunes(self) -> bool:
        """Whether children inherit from parents that were fine-tuned on the images.

        Not where the recipe of one network is searched, whose trainings start from what was downloaded, nor where the
        user trains.
        """
        wanted = self.config.tune_parents and self.own.evaluate is None
        return wanted and bool(self.space.parents) and self.config.model is None

    def tuned_folder(self, parent: str) -> Path:
        """Return where the run keeps the weights of a parent that is fine-tuned, by its name in the space."""
        return self.store.path.absolute() / PARENTS_FOLDER / f"{parent}-tuned"

    def start_of_child(self, parent: str) -> InheritedStart:
        """Return the start of a parent's child, by the parent's name in the space."""
        start = self.start_from(parent)
        return replace(start, tuned=str(self.tuned_folder(parent) / WEIGHTS_FILE)) if self.tunes else start

    def task_data(self) -> TaskData:
        """Return what a training is told of the data."""
        content = self.data.content
        return {
            "data": self.config.data,
            "data_resolution": self.resolution,
            "mirror": self.config.mirror,
            "folder_options": self.config.folder_options,
            "content": None if content is None else content.fingerprint,
            "known": str(self.store.path.absolute() / CONTENT_FILE),
        }

    def _network(self, candidate: Candidate) -> NetworkSpec:
        if self.config.model is not None and not self.config.pretrained:
            return NetworkSpec(self.config.model, self.resolution)
        return specs_of(self.space, [candidate])[0]
