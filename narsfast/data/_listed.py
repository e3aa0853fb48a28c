"""From listed files to a data set: they are read once, and those that are no images are named."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from narsfast.errors import UserError

from ._content import SPLITS, Content, copies
from ._dataset import Dataset, Preprocess, Split
from ._decode import Decoded
from ._folder_options import FolderOptions
from ._listing import Listing, shown
from ._split import stratified
from ._statistics import pixel_statistics

_SHARES = (0.7, 0.15, 0.15)  # one folder split three ways (this project's choice)
_HELD_OUT = (0.85, 0.15)  # a missing split is taken from train (this project's choice)
_NAMED = 3  # unreadable files named in an error


def load_listed(
    listing: Listing,
    resolution: int,
    mirror: bool,
    options: FolderOptions,
    cache_bytes: int,
    known: Content | None = None,
) -> Dataset:
    """Read listed files; arguments as of `load_folder`.

    Args:
        listing: The files.
        resolution: The largest resolution in pixels that the data will be used at.
        mirror: Whether training may mirror images.
        options: How the files are read.
        cache_bytes: Decoded bytes kept in memory.
        known: The content of files as it was read before: those that did not change since are not hashed again.

    Raises:
        MachineError: The disk fails.
        UserError: A class has no image that can be read, or too few for the splits.
    """
    digests = None if known is None else known.digests_of(listing)
    decoded = Decoded(listing, 3, options.reading(resolution), cache_bytes, digests, options.by_content)
    labels, sources = listing.labels[decoded.good], listing.sources[decoded.good]
    _check_counts(listing, labels, sources, decoded)
    parts = _parts(listing.splits, labels, sources, listing.classes)
    mean, std = pixel_statistics(decoded.part(parts["train"]), 3)
    preprocess = Preprocess(in_chans=3, mean=mean, std=std, mirror=mirror, reading=decoded.reading)
    splits = {name: Split(name, labels[part], decoded.part(part), preprocess) for name, part in parts.items()}
    content = _content(listing, decoded, labels, parts)
    return Dataset(
        name=listing.name,
        classes=listing.classes,
        **splits,
        preprocess=preprocess,
        skipped=(*listing.skipped, *decoded.bad.values()),
        root=listing.root,
        notes=(
            *listing.notes,
            *decoded.notes,
            *copies(content.names, content.digests, labels, content.splits),
        ),
        content=content,
    )


def _content(
    listing: Listing, decoded: Decoded, labels: NDArray[np.int64], parts: dict[str, NDArray[np.int64]]
) -> Content:
    split_of = np.empty(len(labels), np.int8)
    for number, name in enumerate(SPLITS):
        split_of[parts[name]] = number
    return Content(
        classes=listing.classes,
        names=[listing.names[i] for i in decoded.good],
        stats=listing.stats[decoded.good],
        digests=decoded.digests,
        labels=labels,
        splits=split_of,
        drawn=set(listing.splits) != set(SPLITS),
    )


def _check_counts(
    listing: Listing, labels: NDArray[np.int64], sources: NDArray[np.int64], decoded: Decoded
) -> None:
    for source, folder in enumerate(listing.folders):
        counts = np.bincount(labels[sources == source], minlength=len(listing.classes))
        empty = np.flatnonzero(counts == 0).tolist()
        if not empty:
            continue
        skipped = [
            str(why)
            for index, why in decoded.bad.items()
            if listing.sources[index] == source and listing.labels[index] in empty
        ]
        more = ", ..." if len(skipped) > _NAMED else ""
        unreadable = (
            f" ({len(skipped)} unreadable file(s) were skipped: {', '.join(skipped[:_NAMED])}{more})"
            if skipped
            else ""
        )
        raise UserError(
            f"data {shown(folder)!r} has no image in class folder(s) {[listing.classes[i] for i in empty]}{unreadable};"
            " add images or remove the folder"
        )


def _parts(
    names: tuple[str, ...], labels: NDArray[np.int64], sources: NDArray[np.int64], classes: tuple[str, ...]
) -> dict[str, NDArray[np.int64]]:
    """Return the indices of train, val and test; a split without a folder is taken from the first folder."""
    parts = {name: np.flatnonzero(sources == source) for source, name in enumerate(names)}
    first = parts.pop(names[0])
    missing = [name for name in ("val", "test") if name not in parts]
    if missing:
        shares = _SHARES if len(missing) == 2 else _HELD_OUT
        first, *taken = (first[part] for part in stratified(labels[first], shares, classes))
        parts.update(zip(missing, taken, strict=True))
    return {"train": first, "val": parts["val"], "test": parts["test"]}
