"""The pool as a run keeps it: to sample a large one takes longer than all else that a search does before it goes on."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from narsfast.common.files import replacing
from narsfast.common.machine import persistently
from narsfast.cost import Counter
from narsfast.search import ExtendedCounter, Pool
from narsfast.space import Space

POOL_FILE = "pool.npz"
"""Name of the file in the run."""

_log = logging.getLogger("narsfast.run")


def kept_pool(
    file: Path, made_of: str, counter: Counter | ExtendedCounter, sample: Callable[[], Pool]
) -> Pool:
    """Return the pool that a file holds; where it holds none, or one of something else, sample it and write the file.

    Args:
        file: Of the run.
        made_of: A hash of all that the pool follows from.
        counter: Of its statistics.
        sample: Makes it.

    Raises:
        MachineError: The file cannot be written.
    """
    if (known := _read(file, made_of, counter)) is not None:
        return known
    pool = sample()

    def write() -> None:
        with replacing(file) as temporary, temporary.open("wb") as target:
            np.savez(
                target,
                made_of=np.frombuffer(made_of.encode(), np.uint8),
                genes=pool.genes,
                statistics=pool.statistics,
                band=pool.band,
                anchors=np.array(pool.anchors),
            )

    persistently(write, f"writing {file}")
    return pool


def _read(file: Path, made_of: str, counter: Counter | ExtendedCounter) -> Pool | None:
    try:
        with np.load(file, allow_pickle=False) as stored:
            if stored["made_of"].tobytes().decode() != made_of:
                return None
            genes, band = stored["genes"], stored["band"].astype(np.int64)
            if band.shape != genes.shape[:1]:
                raise ValueError("there are other candidates than bands")
            pool = Pool(genes, stored["statistics"], band, int(stored["anchors"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pool = None
    if pool is None or not _sound(pool, counter.space, len(counter.names)):
        _log.warning("%s is damaged; the pool is sampled again", file)
        return None
    return pool


def _sound(pool: Pool, space: Space, statistics: int) -> bool:
    """Return whether these are candidates of the space: what reads them further on takes that for granted."""
    genes = pool.genes
    return bool(
        genes.dtype == np.int16
        and genes.ndim == 2
        and genes.shape[1] == len(space.fields)
        and ((genes >= 0) & (genes < space.sizes)).all()
        and np.array_equal(space.canonical(genes), genes)
        and pool.statistics.shape == (len(genes), statistics)
        and np.issubdtype(pool.statistics.dtype, np.number)
        and (pool.band >= 0).all()
        and 0 <= pool.anchors <= len(genes)
    )
