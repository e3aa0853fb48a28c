"""Creating a run or resuming it: the options, the environment and the directory must fit what is stored."""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from narsfast import __version__, _native
from narsfast.arch import create_model, reference_version
from narsfast.common.differences import differences
from narsfast.common.progress import Progress, silent
from narsfast.common.version import trains_alike
from narsfast.cost import LatencyTable
from narsfast.data import DataSource, loader_version, resolve_loader
from narsfast.errors import UserError
from narsfast.runs import RunStore
from narsfast.space import Space
from narsfast.training import CHECKPOINT_FILE, check_optimizers

from ._config import RunConfig, is_reference, resolve_config
from ._own import Own
from ._search import Search

_log = logging.getLogger("narsfast.run")

_TEACHING = ("distill", "distill_weight", "distill_temperature")
"""Options that a resumed run may change until a network was trained fully."""


def open_search(
    out: str | Path,
    options: Mapping[str, Any] | None = None,
    workers: int | None = None,
    progress: Progress = silent,
    own: Own | None = None,
) -> Search:
    """Open a run directory for writing: a new one, or one that is resumed.

    Args:
        out: the run directory.
        options: what the user said (`narsfast.pipeline._config.resolve_config`); None to resume with what is stored.
        workers: trials at once, each in a process of its own; None is one a core, or where trials train on
            GPUs one for as many GPUs as a trial takes.
        progress: told of every long stage.
        own: what the user brings.

    Raises:
        UserError: another process writes to the run, or the run was made with other options.
    """
    out, own = Path(out), own or Own()
    stored = RunStore.stored_config(out)
    if stored is not None and not options:
        options = None
    if options is not None and own.statistics:
        options = {**options, "extra_statistics": tuple(own.statistics)}
    if stored is None and options is None:
        raise UserError(f"run: {out} is no run directory; `narsfast run` makes one")
    config = resolve_config(options or {}, stored)
    if options and stored is not None and not _has_batches(out):
        continued, config = config, resolve_config(options)
        if config != continued:
            _log.warning(
                "%s had not trained anything: it starts over, with the options given now alone; "
                "`narsfast resume %s` keeps those it was created with",
                out,
                out,
            )
    if unknown := own.statistics.keys() - set(config.extra_statistics):
        raise UserError(
            f"statistics: {out} does not count {', '.join(sorted(unknown))}; leave it out, or start another run"
        )
    if missing := set(config.extra_statistics) - own.statistics.keys():
        raise UserError(
            f"statistics: {out} counts {', '.join(sorted(missing))} by functions of its maker; give them again, as in "
            "narsfast.search(statistics={name: function})"
        )
    for reference in set(config.baselines) - set((stored or {}).get("baselines", ())):
        create_model(reference, num_classes=2)  # a wrong one is said before the run knows it
    if config.distill != (stored or {}).get("distill") and is_reference(config.distill):
        create_model(str(config.distill), num_classes=2)
    growing = ("baselines",) if stored is None or _has_finals(out) else ("baselines", *_TEACHING)
    run = RunStore.open(out, config.to_stored(), growing=growing)
    try:
        if stored is not None and any(stored.get(key) != run.config[key] for key in _TEACHING):
            _forget_teacher(run)
        _check_environment(run, config)
        if options and options.get("latency"):
            run.facts.latency = LatencyTable.read(options["latency"]).model_dump(mode="json")
    except UserError:
        run.close()
        raise
    return Search(run, workers or _default_workers(config), progress, own)


def _has_finals(out: Path) -> bool:
    with RunStore.read(out) as run:
        return bool(run.trials("final"))


def _forget_teacher(run: RunStore) -> None:
    """Start over what was started with another teacher."""
    run.facts.teacher = None
    for checkpoint in (run.path / "weights").glob(f"*/{CHECKPOINT_FILE}"):
        checkpoint.unlink()


def _has_batches(out: Path) -> bool:
    with RunStore.read(out) as run:
        return bool(run.batches())


def _check_environment(run: RunStore, config: RunConfig) -> None:
    """Store what trainings depend on, or refuse to go on where it differs; a run with nothing left to train is let in.

    What each ``auto`` of the settings stands for is part of it.
    """
    tested = {result.model for result in run.facts.baselines or ()}
    if run.facts.stage == "done" and tested >= set(config.baselines):
        return
    source = DataSource.parse(config.data)
    source.check()  # said before anything about how it would be read
    resolved = config.trainer.resolved(source)
    if "optimizer" in config.space["recipe"]:
        optimizers = Space.from_dict(config.space).values("optimizer")
        check_optimizers([str(name) for name in optimizers], resolved.optim_backend)
    here = {
        "narsfast": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "instruction_set": _native.isa(),
        "loader_version": loader_version(resolve_loader(resolved.loader, source)),
        **{name: value for name, value in resolved if value != getattr(config, name)},
    }
    if model := run.config.get("model"):
        here["model"] = reference_version(model)
    stored = run.facts.versions
    if stored is None:
        run.facts.versions = here
        return
    if "model" in here and not run.batches():
        stored = {**stored, "model": here["model"]}  # nothing is trained yet: the file may be changed
        run.facts.versions = stored
    if trains_alike(str(stored["narsfast"]), __version__):
        here["narsfast"] = stored["narsfast"]
    if different := differences(stored, here):
        raise UserError(
            f"run: {run.path} was started in another environment: {'; '.join(different)}; resume it there, or start "
            "another run"
        )


def _default_workers(config: RunConfig) -> int:
    cores = len(os.sched_getaffinity(0))
    units = torch.cuda.device_count() if config.device == "cuda" else cores
    return max(1, units // config.processes_per_trial)
