"""Image folders: one folder of class folders, or such a folder for each split."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from narsfast.errors import UserError

from ._dataset import Dataset, Preprocess, Split
from ._decode import CACHE_BYTES, KEPT_SIDE, Decoded
from ._split import stratified
from ._statistics import pixel_statistics

_VALIDATION = ("val", "validation", "valid")
_SHARES = (0.7, 0.15, 0.15)  # one folder split three ways (this project's choice)
_HELD_OUT = (0.85, 0.15)  # a missing split is taken from train (this project's choice)


def load_folder(root: Path, resolution: int, mirror: bool, cache_bytes: int = CACHE_BYTES) -> Dataset:
    """Load an image folder.

    Three layouts: ``root/{train,val,test}/CLASS/...`` (``validation`` and ``valid`` mean ``val``); the same
    without ``test`` or ``val``, where 15 % of each class of ``train`` become the missing split (70/15/15 if
    both are missing); ``root/CLASS/...``, split 70/15/15 within each class. Images may be in folders below
    the class folder.

    Args:
        root: The folder.
        resolution: The largest resolution in pixels that the data will be used at.
        mirror: Whether training may mirror images.
        cache_bytes: Decoded bytes kept in memory; above, files are decoded at each reading.

    Raises:
        UserError: A folder is missing, a class is empty or the only one, or the splits differ in their classes.
    """
    check_folder(root)
    folders = _split_folders(root)
    classes = _classes(folders)
    files, labels, sources = _files(folders, classes)
    decoded = Decoded(files, root, "RGB", round(KEPT_SIDE * resolution), cache_bytes)
    labels, sources = labels[decoded.good], sources[decoded.good]
    _check_counts(folders, classes, labels, sources, len(decoded.skipped))
    parts = _parts(list(folders), labels, sources, classes)
    mean, std = pixel_statistics(decoded.part(parts["train"]), 3)
    preprocess = Preprocess(in_chans=3, mean=mean, std=std, mirror=mirror)
    splits = {name: Split(name, labels[part], decoded.part(part), preprocess) for name, part in parts.items()}
    return Dataset(
        name=root.name,
        classes=classes,
        **splits,
        preprocess=preprocess,
        skipped=tuple(decoded.skipped),
        root=root,
    )


def _subfolders(folder: Path) -> list[str]:
    return sorted(
        entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")
    )


def _split_folders(root: Path) -> dict[str, Path]:
    """Return the folder of class folders by split; the only key is "all" where the folder has no splits."""
    names = _subfolders(root)
    lower = {name.lower(): name for name in names}
    if "train" not in lower:
        splits = [lower[name] for name in ("training", *_VALIDATION, "test") if name in lower]
        if splits:
            raise UserError(
                f"data {str(root)!r} has {' and '.join(map(repr, splits))} and no 'train'; name the folder of the "
                "training images 'train'"
            )
        return {"all": root}
    folders = {"train": root / lower["train"]}
    validation = [lower[name] for name in _VALIDATION if name in lower]
    if len(validation) > 1:
        raise UserError(f"data {str(root)!r} has more than one validation folder: {validation}; keep one")
    if validation:
        folders["val"] = root / validation[0]
    if "test" in lower:
        folders["test"] = root / lower["test"]
    return folders


def _classes(folders: dict[str, Path]) -> tuple[str, ...]:
    by_split = {name: _subfolders(folder) for name, folder in folders.items()}
    first, *others = by_split
    classes = by_split[first]
    for other in others:
        if by_split[other] != classes:
            here = sorted(set(classes) - set(by_split[other]))
            there = sorted(set(by_split[other]) - set(classes))
            raise UserError(
                f"the splits must have the same classes, but {str(folders[first])!r} and"
                f" {str(folders[other])!r} differ: only in the first {here}, only in the second {there}"
            )
    if len(classes) < 2:
        found = f"one class folder, {classes[0]!r}" if classes else "no class folders"
        raise UserError(
            f"data {str(folders[first])!r} has {found}; at least two are needed, one folder of images per class"
        )
    return tuple(classes)


def _files(
    folders: dict[str, Path], classes: tuple[str, ...]
) -> tuple[list[Path], NDArray[np.int64], NDArray[np.int64]]:
    """List all files in a fixed order, with their labels and the index of their split folder."""
    files: list[Path] = []
    labels: list[int] = []
    sources: list[int] = []
    for source, folder in enumerate(folders.values()):
        for label, name in enumerate(classes):
            for directory, below, names in os.walk(folder / name, followlinks=True):
                below.sort()
                files += [Path(directory, file) for file in sorted(names)]
            labels += [label] * (len(files) - len(labels))
            sources += [source] * (len(files) - len(sources))
    return files, np.array(labels, dtype=np.int64), np.array(sources, dtype=np.int64)


def _check_counts(
    folders: dict[str, Path],
    classes: tuple[str, ...],
    labels: NDArray[np.int64],
    sources: NDArray[np.int64],
    skipped: int,
) -> None:
    for source, folder in enumerate(folders.values()):
        counts = np.bincount(labels[sources == source], minlength=len(classes))
        empty = [name for name, count in zip(classes, counts, strict=True) if not count]
        if empty:
            unreadable = f" ({skipped} unreadable file(s) were skipped)" if skipped else ""
            raise UserError(
                f"data {str(folder)!r} has no image in class folder(s) {empty}{unreadable};"
                " add images or remove the folder"
            )


def _parts(
    names: list[str], labels: NDArray[np.int64], sources: NDArray[np.int64], classes: tuple[str, ...]
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


def check_folder(root: Path) -> None:
    """Refuse what is not a folder.

    Raises:
        UserError: It is not; the sentence names it.
    """
    if not root.is_dir():
        raise UserError(f"data {str(root)!r} is not a folder; give 'digits' or a folder of images")
