"""From what the user named to a data set."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from narsfast.errors import MachineError, UserError

from ._content import Content
from ._dataset import Dataset
from ._folder_options import FolderOptions
from ._source import DataSource

_log = logging.getLogger("narsfast.data")
_SHOWN = 20  # skipped files named in the warning
_KEPT = 2  # data sets that a process shares
_Key = tuple[str, int, bool, FolderOptions]
_shared: dict[tuple[_Key, str], Dataset] = {}


def load_data(
    spec: str | Path,
    resolution: int = 320,
    *,
    mirror: bool = True,
    layout: str = "auto",
    orient: bool = True,
    bit_depth: str | int = "auto",
) -> Dataset:
    """Load a data set, and warn of files that are skipped, by name, and of what else may be wrong with it.

    Args:
        spec: ``digits`` (embedded: 1,797 handwritten digits, 32 px, gray), a folder of images, see
            `narsfast.data._folder.load_folder` for its layouts, a table of labels (.csv), or a file that `save_dataset`
            wrote.
        resolution: The largest resolution in pixels that it will be used at; larger images of a folder are shrunk to
            1.5 times that once. The decoded images of a folder are kept in memory up to 1 GiB; above, files are decoded
            at each reading.
        mirror: Whether a mirrored image keeps its class (never for digits, nor where a stored data set says
            otherwise).
        layout: Which folders are splits: ``auto``, ``flat`` or ``splits``, as in `FolderOptions`.
        orient: Whether photos are turned as their EXIF data says.
        bit_depth: Bits that gray images of more than 8 bits use; ``auto`` is by the largest value of all files.

    Raises:
        UserError: The folder or file is missing, or its classes cannot be used.
    """
    options = FolderOptions(layout, orient, str(bit_depth))
    return _told(DataSource.parse(spec).load(resolution, mirror=mirror, options=options))


def _told(dataset: Dataset) -> Dataset:
    """Warn of what was skipped and of what may be wrong."""
    if dataset.skipped:
        _log.warning("%s: skipped %d file(s): %s", dataset.name, len(dataset.skipped), _some(dataset.skipped))
    for note in dataset.notes:
        _log.warning("%s: %s", dataset.name, note)
    return dataset


def _some(things: Sequence[object]) -> str:
    more = f" and {len(things) - _SHOWN} more" if len(things) > _SHOWN else ""
    return ", ".join(map(str, things[:_SHOWN])) + more


def shared_data(
    spec: str | Path,
    resolution: int = 320,
    mirror: bool = True,
    options: FolderOptions | None = None,
    *,
    known: Content | str | None = None,
    content: str | None = None,
) -> Dataset:
    """Load data as `load_data`, once per process as long as it stays the same: trials share the decoded images.

    Args:
        spec: As in `load_data`.
        resolution: As in `load_data`.
        mirror: As in `load_data`.
        options: How an image folder or a table is read.
        known: The content as it was read before, which saves hashing, or a file of it, which may be missing.
        content: Fingerprint of the content that is expected (`Content.fingerprint`): data that was loaded with it is not
            looked at again, and its warnings were given where it was loaded first.

    Raises:
        MachineError: Data whose content is expected cannot be read: it could be, where that was found out.
        UserError: As `load_data`; or the content is another one.
    """
    options = options or FolderOptions()
    source = DataSource.parse(spec)
    key = (source.text, resolution, mirror, options)
    if content is not None:
        for (other, _), dataset in _shared.items():
            if other == key and dataset.content is not None and dataset.content.fingerprint == content:
                return dataset
    with _could_be_read(source, content is not None):
        signature, load = source.looked_up(resolution, mirror=mirror, options=options)
        if (key, signature) in _shared:
            dataset = _shared.pop((key, signature))
        else:
            dataset = load(Content.load(Path(known)) if isinstance(known, str) else known)
            if content is None:
                _told(dataset)
    while len(_shared) >= _KEPT:
        _shared.pop(next(iter(_shared)))
    _shared[key, signature] = dataset
    if content is not None and (dataset.content is None or dataset.content.fingerprint != content):
        raise UserError(
            f"data: {source.text} has changed since the run was started; restore it, or start another run"
        )
    return dataset


@contextmanager
def _could_be_read(source: DataSource, before: bool) -> Iterator[None]:
    """Let what is wrong with data be the machine's doing, as a lost mount, where the data could be read before."""
    try:
        yield
    except MachineError:
        raise
    except UserError as error:
        if not before:
            raise
        raise MachineError(
            f"data: {source.text} could be read when the run was started and cannot be read now ({error})",
            "restore it",
        ) from None
