"""Creating a run or resuming it: the options, the environment and the directory must fit what is stored."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from narsfast.arch import create_model
from narsfast.common.differences import differences
from narsfast.common.files import output_path
from narsfast.common.progress import Progress, silent
from narsfast.common.threads import usable_cores
from narsfast.cost import LatencyTable
from narsfast.data import DataSource, as_dataset, save_dataset, shared_data
from narsfast.errors import UserError
from narsfast.runs import RunStore, forget_failed
from narsfast.training import CHECKPOINT_FILE

from ._config import RunConfig, is_reference, resolve_config
from ._data import largest_resolution, refuse_inside, run_data, same_place
from ._environment import check_environment
from ._own import Own
from ._resume import Resume
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
    resume: Resume | None = None,
) -> Search:
    """Open a run directory for writing: a new one, or one that is resumed.

    Args:
        out: The run directory.
        options: What the user said (`narsfast.pipeline._config.resolve_config`); None to resume with what is stored.
        workers: Trials at once, each in a process of its own; None is one a core, or where trials train on
            GPUs one for as many GPUs as a trial takes.
        progress: Told of every long stage.
        own: What the user brings.
        resume: What may be otherwise where the run is resumed; None is nothing.

    Raises:
        UserError: Another process writes to the run, or the run was made with other options.
    """
    out, own, resume = output_path(out), own or Own(), resume or Resume()
    stored = RunStore.stored_config(out)
    if stored is None and options is None:
        raise UserError(f"run: {out} is no run directory; `narsfast run` makes one")
    if resume.moved_to is None or stored is None:
        config = _resolved(out, options, stored, own)
    else:
        config = resolve_config({"data": str(resume.moved_to)}, stored)
    if stored is None and own.data is None:
        DataSource.parse(config.data).check()
        refuse_inside(out, config.data)
    _check_own_statistics(out, config, own)
    _check_networks(config, stored)
    growing = ("baselines",) if stored is None or _has_finals(out) else ("baselines", *_TEACHING)
    placed = config.to_stored()
    if stored is not None and _has_batches(out):
        placed["data"] = stored.get(
            "data", placed["data"]
        )  # until it is known that it is the same data in another place
    run = RunStore.open(out, placed, growing=growing)
    try:
        if not same_place(run.config["data"], config.data):
            run_data(run, config)
            run.change_option("data", config.data)
        if stored is not None and any(stored.get(key) != run.config[key] for key in _TEACHING):
            _forget_teacher(run)
        if own.data is not None:
            _keep_data(run, config, own.data)
        if resume.retry_failed:
            _retry_failed(run)
        check_environment(run, config, accept=resume.accept_environment)
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
        return resolve_config(_moved_with_the_run(out, stored), stored)
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


def _moved_with_the_run(out: Path, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return where the data lies that a run holds itself, if the run was moved."""
    here, there = out / _DATA_FILE, Path(stored.get("data", ""))
    return {"data": str(here)} if there.name == _DATA_FILE and not there.exists() and here.exists() else {}


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
    file, resolution = Path(config.data), largest_resolution(config)
    given = as_dataset(data, resolution=resolution, mirror=config.mirror, bit_depth=config.bit_depth)
    if file.exists() and run.batches():
        stored = shared_data(config.data, resolution, config.mirror)
        if different := [*differences(stored.fingerprint(), given.fingerprint()), *stored.differing(given)]:
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


def _default_workers(config: RunConfig) -> int:
    units = torch.cuda.device_count() if config.device == "cuda" else usable_cores()
    return max(1, units // config.processes_per_trial)
