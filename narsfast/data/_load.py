"""From what the user named to a data set."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path

from ._dataset import Dataset
from ._source import DataSource

_log = logging.getLogger("narsfast.data")
_SHOWN = 20  # skipped files named in the warning


def load_data(spec: str | Path, resolution: int = 320, *, mirror: bool = True) -> Dataset:
    """Load a data set, and warn of files that are skipped, by name.

    Args:
        spec: ``digits`` (embedded: 1,797 handwritten digits, 32 px, gray), a folder of images, see
            `narsfast.data._folder.load_folder` for its layouts, or a file that `save_dataset` wrote.
        resolution: The largest resolution in pixels that it will be used at; larger images of a folder are shrunk to
            1.5 times that once. The decoded images of a folder are kept in memory up to 1 GiB; above, files are decoded
            at each reading.
        mirror: Whether a mirrored image keeps its class (never for digits, nor where a stored data set says
            otherwise).

    Raises:
        UserError: The folder or file is missing, or its classes cannot be used.
    """
    dataset = DataSource.parse(spec).load(resolution, mirror=mirror)
    if dataset.skipped:
        named = ", ".join(str(skipped) for skipped in dataset.skipped[:_SHOWN])
        more = f" and {len(dataset.skipped) - _SHOWN} more" if len(dataset.skipped) > _SHOWN else ""
        _log.warning("%s: skipped %d file(s): %s%s", dataset.name, len(dataset.skipped), named, more)
    return dataset


@lru_cache(maxsize=2)
def shared_data(spec: str, resolution: int = 320, mirror: bool = True) -> Dataset:
    """Load data as `load_data`, once per process: its trials share the decoded images."""
    return load_data(spec, resolution, mirror=mirror)
