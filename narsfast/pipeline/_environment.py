"""What the outcome of trainings depends on beside their options: versions and machine, stored when a run is created."""

from __future__ import annotations

import logging
import platform
import re
import shutil
from collections.abc import Mapping
from typing import Any

import torch

from narsfast import __version__, _native
from narsfast.arch import reference_version
from narsfast.common.differences import differences
from narsfast.common.version import trains_alike
from narsfast.data import DataSource, loader_version, resolve_loader
from narsfast.errors import UserError
from narsfast.runs import RunStore
from narsfast.space import Space
from narsfast.training import check_optimizers

from ._config import RunConfig
from ._search import CHECKPOINTS_FOLDER

_log = logging.getLogger("narsfast.run")

_UPGRADED = ("python", "torch", "loader_version")
"""Versions whose patches may change within a run, where the user accepts it."""


def check_environment(run: RunStore, config: RunConfig, *, accept: bool = False) -> None:
    """Store what trainings depend on, or refuse to go on where it differs; a run with nothing left to train is let in.

    What each ``auto`` of the settings stands for is part of it.

    Args:
        run: The run.
        config: Its configuration.
        accept: Whether patch upgrades of python, torch or the loader are accepted; the run keeps and shows them.

    Raises:
        UserError: The environment is another one.
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
    if model := config.network_reference:
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
    different = differences(stored, here)
    if not different:
        return
    patch = _is_patch(stored, here)
    if patch and accept:
        run.facts.accepted = (*(run.facts.accepted or ()), *different)
        run.facts.versions = here
        shutil.rmtree(run.path / CHECKPOINTS_FOLDER, ignore_errors=True)  # of the other environment
        _log.warning("accepted: %s; trainings may differ in their last digits", "; ".join(different))
        return
    remedy = "resume it there, or start another run"
    if patch:
        remedy = f"resume the run with `accept_environment`, though trainings may differ in their last digits, {remedy}"
    raise UserError(f"run: {run.path} was started in another environment: {'; '.join(different)}; {remedy}")


def _is_patch(stored: Mapping[str, Any], here: Mapping[str, Any]) -> bool:
    """Tell whether nothing differs but the last numbers of versions."""
    changed = [name for name in stored.keys() | here.keys() if stored.get(name) != here.get(name)]
    return all(name in _UPGRADED and _minor(stored[name]) == _minor(here[name]) for name in changed)


def _minor(version: Any) -> tuple[str, str]:
    """Return a version without the number of its patch: what it is of or built for, and its first two numbers."""
    found = re.fullmatch(r"(\D*\d+\.\d+)(?:\.\w+)*(.*)", str(version))
    return (found[1], found[2]) if found else (str(version), "")
