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
from narsfast.common.files import output_path
from narsfast.common.progress import Progress, silent
from narsfast.common.version import trains_alike
from narsfast.cost import LatencyTable
from narsfast.data import DataSource, as_dataset, loader_version, resolve_loader, save_dataset, shared_data
from narsfast.errors import UserError
from narsfast.runs import RunStore, forget_failed
from narsfast.space import Space
from narsfast.training import CHECKPOINT_FILE, check_optimizers

from ._config import RunConfig, is_reference, resolve_config
from ._own import Own
from ._search import Search

_log = logging.getLogger("narsfast.run")

_DATA_FILE = "data.safetensors"

_TEACHING = ("distill", "distill_weight", "distill_temperature")
"""Options that a resumed run may change until a network was trained fully."""


def open_search(
    out: str | Path,
    options: Mapping[str, Any] | None = None,
    workers: int | None = None,
    progress: Progress = silent,
    own: Own | None = None,
    retry_failed: bool = False,
) -> Search:
    """Open a run directory for writing: a new one, or one that is resumed.

    Args:
        out: The run directory.
        options: What the user said (`narsfast.pipeline._config.resolve_config`); None to resume with what is stored.
        workers: Trials at once, each in a process of its own; None is one a core, or where trials train on
            GPUs one for as many GPUs as a trial takes.
        progress: Told of every long stage.
        own: What the user brings.
        retry_failed: Whether trainings of the run that failed, were lost, ran out of time or memory are tried again.

    Raises:
        UserError: Another process writes to the run, or the run was made with other options.
    """
    out, own = output_path(out), own or Own()
    stored = RunStore.stored_config(out)
    if stored is None and options is None:
        raise UserError(f"run: {out} is no run directory; `narsfast run` makes one")
    config = _resolved(out, options, stored, own)
    _check_own_statistics(out, config, own)
    _check_networks(config, stored)
    growing = ("baselines",) if stored is None or _has_finals(out) else ("baselines", *_TEACHING)
    run = RunStore.open(out, config.to_stored(), growing=growing)
    try:
        if stored is not None and any(stored.get(key) != run.config[key] for key in _TEACHING):
            _forget_teacher(run)
        if own.data is not None:
            _keep_data(run, config, own.data)
        if retry_failed:
            _retry_failed(run)
        _check_environment(run, config)
        if options and options.get("latency"):
            run.facts.latency = LatencyTable.read(options["latency"]).model_dump(mode="json")
    except BaseException:
        run.close()
        raise
    return Search(run, workers or _default_workers(config), progress, own)


def _resolved(
    out: Path, options: Mapping[str, Any] | None, stored: Mapping[str, Any] | None, own: Own
) -> RunConfig:
    """Complete the options; a run that has trained nothing has only those that are given now."""
    if stored is not None and not options:
        return resolve_config({}, stored)
    given = {**(options or {}), **_options_of(own, out)}
    config = resolve_config(given, stored)
    if stored is None or _has_batches(out):
        return config
    anew = resolve_config(given)
    if config != anew:
        _log.warning(
            "%s had not trained anything: it starts over, with the options given now alone; "
            "`narsfast resume %s` keeps those it was created with",
            out,
            out,
        )
    return anew


def _check_own_statistics(out: Path, config: RunConfig, own: Own) -> None:
    """Refuse functions that the run does not know, and to do without those that it was created with."""
    if unknown := own.statistics.keys() - set(config.extra_statistics):
        raise UserError(
            f"statistics: {out} does not count {', '.join(sorted(unknown))}; leave it out, or start another run"
        )
    if missing := set(config.extra_statistics) - own.statistics.keys():
        raise UserError(
            f"statistics: {out} counts {', '.join(sorted(missing))} by functions of its maker; give them again, as in "
            "narsfast.search(statistics={name: function})"
        )


def _check_networks(config: RunConfig, stored: Mapping[str, Any] | None) -> None:
    """Build the references that are new, so that a wrong one is refused before the run knows it."""
    known = stored or {}
    for reference in set(config.baselines) - set(known.get("baselines", ())):
        create_model(reference, num_classes=2)
    if config.distill != known.get("distill") and is_reference(config.distill):
        create_model(str(config.distill), num_classes=2)


def _options_of(own: Own, out: Path) -> dict[str, Any]:
    """Return what the configuration says of what the user brings."""
    options: dict[str, Any] = {}
    if own.statistics:
        options["extra_statistics"] = tuple(own.statistics)
    if own.data is not None:
        options["data"] = str(out / _DATA_FILE)
    return options


def _keep_data(run: RunStore, config: RunConfig, data: Any) -> None:
    """Write the user's data into the run, where every process and a resumed run read the same pixels.

    Raises:
        UserError: It is not what the run was created with.
    """
    file = Path(config.data)
    resolution = max(int(value) for value in Space.from_dict(config.space).values("resolution"))
    given = as_dataset(data, resolution=resolution, mirror=config.mirror)
    if file.exists() and run.batches():
        stored = shared_data(config.data, resolution, config.mirror)
        if different := differences(stored.fingerprint(), given.fingerprint()):
            raise UserError(
                f"data: it is not what {run.path} was created with: {'; '.join(different)}; give that data, or start "
                "another run"
            )
        return
    save_dataset(given, file)


def _has_finals(out: Path) -> bool:
    with RunStore.read(out) as run:
        return bool(run.trials("final"))


def _forget_teacher(run: RunStore) -> None:
    """Start over what was started with another teacher."""
    run.facts.teacher = None
    for checkpoint in (run.path / "weights").glob(f"*/{CHECKPOINT_FILE}"):
        checkpoint.unlink()


def _retry_failed(run: RunStore) -> None:
    """Forget trainings that did not end well, and say which."""
    forgotten = [f"{candidate} ({outcome.replace('_', ' ')})" for _, candidate, outcome in forget_failed(run)]
    _log.warning("tried again: %s", ", ".join(forgotten) or "nothing, as no training of the run failed")


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
