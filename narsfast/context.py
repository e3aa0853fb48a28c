"""What the stages of one run share, and the door through which a run is begun or gone on with."""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from . import __version__, _native, cost
from .arch import create_model, definition_of, reference_version
from .config import RunConfig, is_reference, resolve_config, resolve_space
from .cost import Counter, LatencyTable, named
from .data import Dataset, check_folder, loader_version, resolve_loader, shared_data
from .errors import UserError
from .network_source import model_statistics
from .progress import Progress, silent
from .runs import Executor, InProcess, Processes, Run
from .search import Pool
from .seeds import derive_seed
from .space import Candidate, Genes, Space
from .training import CHECKPOINT_FILE, TrainerSettings, TrialTask, check_optimizers

_log = logging.getLogger("narsfast.run")

_TEACHING = ("distil", "distil_weight", "distil_temperature")
"""Options that a run may go on with other values of until a network was trained fully."""


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
        self.pool: Pool | None = None
        self._workers = workers

    def __enter__(self) -> Search:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers and let go of the run directory."""
        self.end_workers()
        self.run.close()

    def end_workers(self) -> None:
        """End the processes that train, and free their memory; the next training starts new ones."""
        if "executor" in self.__dict__:
            self.executor.shutdown()
            del self.executor

    @cached_property
    def trainer(self) -> TrainerSettings:
        """How the run's trainings are computed, with what each ``auto`` stood for when the run began."""
        settings, chosen = self.config.trainer, self.run.fact("versions") or {}
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
            UserError: they are not those that the run began with.
        """
        data = shared_data(self.config.data, self._resolution, self.config.mirror)
        found = data.fingerprint()
        began_with = self.run.fact("data")
        if began_with is None:
            self.run.put_fact("data", found)
        elif began_with != found:
            different = "; ".join(
                f"{key} was {began_with[key]}, is {found[key]}"
                for key in found
                if found[key] != began_with[key]
            )
            raise UserError(
                f"data: {self.config.data} has changed since the run began ({different}); begin another run"
            )
        return data

    @cached_property
    def _resolution(self) -> int:
        """The largest resolution of the space, in pixels."""
        return max(int(value) for value in self.space.values("resolution"))

    @cached_property
    def counter(self) -> Counter:
        """Statistics of genes for networks that fit the data."""
        table = None
        if self.config.latency is not None:
            stored = self.run.fact("latency")
            if stored is None:
                raise UserError(
                    f"latency: {self.run.path} stopped before it had its table; give it again with --latency"
                )
            table = LatencyTable.from_dict(stored)
        return Counter(self.space, self.data.in_chans, len(self.data.classes), table)

    @cached_property
    def model_statistics(self) -> dict[str, int]:
        """What the network costs whose recipe is searched; empty where the architecture is searched too.

        Raises:
            UserError: the network cannot take the images.
        """
        model = self.config.model
        return {} if model is None else model_statistics(model, self._resolution, self.data)

    def statistics(self, genes: Genes) -> list[dict[str, int | float]]:
        """Statistics of canonical genes (n, F) by name, in JSON types."""
        if self.config.model is not None:
            return [dict(self.model_statistics) for _ in genes]
        return named(self.counter.names, self.counter(genes))

    @cached_property
    def executor(self) -> Executor:
        """Where trials run."""
        config = self.config
        if self._workers <= 1:
            return InProcess()
        return Processes(
            self._workers,
            threads_per_trial=config.threads_per_trial,
            gpus_per_worker=config.processes_per_trial,
        )

    def seed(self, *purpose: str | int) -> int:
        """Seed for one purpose of this run."""
        return derive_seed(self.config.seed, *purpose)

    def task(self, candidate: Candidate, epochs: int, schedule_epochs: int, purpose: str) -> TrialTask:
        """The training of one candidate as a message to an executor."""
        model, definition = self.config.model, None
        if model is None:
            definition = definition_of(self.space, self.space.encode([candidate]))[0].to_json()
        output = str(self.run.path / "weights" / candidate.id) if purpose == "final" else None
        return TrialTask(
            candidate=candidate.id,
            definition=definition,
            recipe=candidate.recipe,
            data=self.config.data,
            epochs=epochs,
            schedule_epochs=schedule_epochs,
            seed=self.seed(purpose, candidate.id),
            settings=self.trainer,
            output=output,
            resolution=self._resolution,
            mirror=self.config.mirror,
            model=model,
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
        workers: trials at once, each in a process of its own; None is one a core, or where trials train on
            GPUs one for as many GPUs as a trial takes.
        progress: told of every long stage.

    Raises:
        UserError: another process writes to the run, or the run was made with other options.
    """
    out = Path(out)
    stored = Run.stored_config(out)
    if stored is None and options is None:
        raise UserError(f"run: {out} is no run directory; `narsfast run --out {out}` makes one")
    config = resolve_config(options or {}, stored)
    if options and stored is not None and not _has_batches(out):
        continued, config = config, resolve_config(options)
        if config != continued:
            _log.warning(
                "%s had not trained anything: it begins anew, with the options given now alone; "
                "`narsfast resume %s` keeps those it began with",
                out,
                out,
            )
    for reference in set(config.baselines) - set((stored or {}).get("baselines", ())):
        create_model(reference, num_classes=2)  # a wrong one is said before the run knows it
    if config.distil != (stored or {}).get("distil") and is_reference(config.distil):
        create_model(str(config.distil), num_classes=2)
    growing = ("baselines",) if stored is None or _has_finals(out) else ("baselines", *_TEACHING)
    run = Run.open(out, config.model_dump(mode="json"), growing=growing)
    try:
        if stored is not None and any(stored.get(key) != run.config[key] for key in _TEACHING):
            _forget_teacher(run)
        _check_environment(run, config)
        if options and options.get("latency"):
            run.put_fact("latency", LatencyTable.read(options["latency"]).model_dump(mode="json"))
    except UserError:
        run.close()
        raise
    return Search(run, workers or _default_workers(config), progress)


def measure_latency(
    options: Mapping[str, Any],
    batch: int = 1,
    threads: int = 1,
    seconds: float = 60.0,
    seed: int = 0,
    progress: Progress = silent,
) -> LatencyTable:
    """Time the blocks of a run's space on this machine; the other arguments as in `narsfast.cost.measure_latency`.

    Args:
        options: `data`, `space` and `fix`, as in `open_search`.
    """
    folder, space = resolve_space(options)
    resolution = max(int(value) for value in space.values("resolution"))
    data = shared_data(folder, resolution, True)
    return cost.measure_latency(
        space,
        data.in_chans,
        len(data.classes),
        batch=batch,
        threads=threads,
        seconds=seconds,
        seed=seed,
        progress=progress,
    )


def _has_finals(out: Path) -> bool:
    with Run.read(out) as run:
        return bool(run.trials("final"))


def _forget_teacher(run: Run) -> None:
    """What was begun with another teacher begins anew."""
    run.put_fact("teacher", None)
    for checkpoint in (run.path / "weights").glob(f"*/{CHECKPOINT_FILE}"):
        checkpoint.unlink()


def _has_batches(out: Path) -> bool:
    with Run.read(out) as run:
        return bool(run.batches())


def _check_environment(run: Run, config: RunConfig) -> None:
    """Store what trainings depend on, or refuse to go on where it differs; a run with nothing left to train is let in.

    What each ``auto`` of the settings stands for is part of it.
    """
    tested = {row["model"] for row in run.fact("baselines") or ()}
    if run.fact("stage") == "done" and tested >= set(config.baselines):
        return
    embedded = config.data == "digits"
    if not embedded:
        check_folder(Path(config.data))  # said before anything about how it would be read
    resolved = config.trainer.resolved(embedded=embedded)
    if "optimizer" in config.space["recipe"]:
        optimizers = Space.from_dict(config.space).values("optimizer")
        check_optimizers([str(name) for name in optimizers], resolved.optim_backend)
    here = {
        "narsfast": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "instruction_set": _native.isa(),
        "loader_version": loader_version(resolve_loader(resolved.loader, embedded)),
        **{name: value for name, value in resolved if value != getattr(config, name)},
    }
    if model := run.config.get("model"):
        here["model"] = reference_version(model)
    began_with = run.fact("versions")
    if began_with is not None and "model" in here and not run.batches():
        began_with = {**began_with, "model": here["model"]}  # nothing is trained yet: the file may be mended
        run.put_fact("versions", began_with)
    if began_with is None:
        run.put_fact("versions", here)
    elif began_with != here:
        different = "; ".join(
            f"{key} was {began_with.get(key)}, is {here.get(key)}"
            for key in {**began_with, **here}
            if began_with.get(key) != here.get(key)
        )
        raise UserError(
            f"run: {run.path} began in another environment ({different}); go on in that one, or begin another run"
        )


def _default_workers(config: RunConfig) -> int:
    cores = len(os.sched_getaffinity(0))
    units = torch.cuda.device_count() if config.device == "cuda" else cores
    return max(1, units // config.processes_per_trial)
