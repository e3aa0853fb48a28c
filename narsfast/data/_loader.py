"""Which loader makes the batches, and how it is opened."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

from torch import Tensor

from narsfast.common.options import LoaderChoice
from narsfast.errors import UserError

from ._batches import batches
from ._dataset import Dataset
from ._source import DataSource

_log = logging.getLogger("narsfast.data")

LoaderName = Literal["dali", "torchvision"]
"""``dali``: NVIDIA DALI. ``torchvision``: Pillow and torchvision's transforms, in the calling thread; the reference."""

EXTRA = "dali"
"""The extra that brings DALI, for CUDA 13; nvidia-dali-cuda120 is the same for CUDA 12."""


@dataclass(frozen=True)
class Loader:
    """An open loader.

    Attributes:
        name: ``dali`` or ``torchvision``.
        batches: Called like `narsfast.data.batches`, with the same result but for how pixels are resampled and
            what the operations of a policy are.
    """

    name: LoaderName
    batches: Callable[..., Iterator[tuple[Tensor, Tensor]]]


def resolve_loader(choice: str, data: DataSource | Dataset | None = None) -> LoaderName:
    """Return the loader that a choice means on this machine; ``auto`` is explained in one line of the log.

    ``auto`` is DALI for image folders where DALI can be imported. DALI loads other data too, but there it has
    nothing to decode, and its start takes longer than it saves.

    Args:
        choice: ``auto``, ``dali`` or ``torchvision``.
        data: The data to load; None is a folder of images.

    Raises:
        UserError: There is no such loader, or DALI is asked for and cannot be imported.
    """
    if choice not in get_args(LoaderChoice):
        raise UserError(f"loader is {choice!r}; it must be one of {', '.join(get_args(LoaderChoice))}")
    if choice == "torchvision":
        return "torchvision"
    if choice == "auto" and data is not None and data.embedded:
        _explain("torchvision", "the pixels come decoded, not in image files")
        return "torchvision"
    missing = _why_not_dali()
    if choice == "dali" and missing is not None:
        raise UserError(
            f"loader is 'dali', which cannot be imported ({missing}); install it with pip install 'narsfast[{EXTRA}]', "
            "or take torchvision"
        )
    name: LoaderName = "dali" if missing is None else "torchvision"
    if choice == "auto":
        reason = (
            "NVIDIA DALI is installed" if missing is None else f"NVIDIA DALI cannot be imported ({missing})"
        )
        _explain(name, reason)
    return name


def open_loader(
    choice: str = "auto",
    *,
    data: DataSource | Dataset | None = None,
    threads: int = 1,
    device: int | None = None,
) -> Loader:
    """Open a loader for any split.

    Within a process the same arguments give the same loader of DALI, as its pipelines serve many trainings.

    Args:
        choice: As in `resolve_loader`.
        data: As in `resolve_loader`.
        threads: Of DALI; the other loader works in the calling thread.
        device: Index of the CUDA device that DALI decodes on and leaves the batches on; None is the CPU.

    Raises:
        UserError: As in `resolve_loader`; or there is no such device, or the loader cannot use one.
    """
    name = resolve_loader(choice, data)
    if name == "torchvision":
        if device is not None:
            raise UserError(
                f"loader: torchvision cannot use CUDA device {device}; leave it out, or take dali"
            )
        return Loader(name, batches)
    return _dali(threads, device, os.getpid())


def loader_version(name: LoaderName) -> str:
    """Return the version of the package of a loader."""
    package = importlib.import_module("nvidia.dali" if name == "dali" else "torchvision")
    return str(package.__version__)


@lru_cache(maxsize=4)
def _dali(threads: int, device: int | None, process: int) -> Loader:
    """Open it; a forked process needs one of its own, as the threads of its parent's are not there."""
    from ._dali import DaliBatches

    return Loader("dali", DaliBatches(threads, device))


@lru_cache(maxsize=1)
def _why_not_dali() -> str | None:
    """Return why DALI cannot be imported; None if it can."""
    try:
        importlib.import_module("nvidia.dali")
    except (
        Exception
    ) as error:  # also of a shared library of another platform, or of DALI's own code (`python -OO`)
        kind = [] if isinstance(error, ImportError | OSError) else [type(error).__name__]
        return ": ".join([*kind, *str(error).splitlines()[:1]])
    return None


@lru_cache(maxsize=2)
def _explain(name: str, reason: str) -> None:
    """Log it, once per process."""
    _log.info("loader: auto is %s, as %s", name, reason)
