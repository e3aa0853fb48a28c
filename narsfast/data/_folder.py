"""Image folders: one folder of class folders, or such a folder for each split."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from narsfast.common.names import check_text, shown
from narsfast.errors import UserError

from ._dataset import Dataset
from ._decode import CACHE_BYTES
from ._folder_options import FolderOptions
from ._layout import split_folders
from ._listed import load_listed
from ._listing import Listing, enumerated
from ._walk import Folder, Walker, look_into

_KINDS = "avif bmp gif heic heif jfif jp2 jpeg jpg pgm png ppm tif tiff webp"
_SUFFIXES = tuple(f".{kind}" for kind in _KINDS.split(" "))


def load_folder(
    root: Path,
    resolution: int,
    mirror: bool,
    cache_bytes: int = CACHE_BYTES,
    options: FolderOptions | None = None,
) -> Dataset:
    """Load an image folder.

    Layouts: ``root/{train,val,test}/CLASS/...``, also by the other names of `SPLIT_NAMES`; the same without ``test`` or
    ``val``, where 15 % of each class of ``train`` become the missing split (70/15/15 if both are missing);
    ``root/CLASS/...``, split 70/15/15 within each class. Images may be in folders below the class folder. Links to
    folders are followed once; hidden files and folders and those of `LEFT_OUT` are no images or classes.

    Args:
        root: The folder.
        resolution: The largest resolution in pixels that the data will be used at.
        mirror: Whether training may mirror images.
        cache_bytes: Decoded bytes kept in memory; above, files are decoded at each reading.
        options: How the files are found and read.

    Raises:
        UserError: A folder is missing or cannot be read, a class is empty or the only one, or the splits differ in their
            classes.
    """
    options = options or FolderOptions()
    return load_listed(list_folder(root, options), resolution, mirror, options, cache_bytes)


def list_folder(root: Path, options: FolderOptions) -> Listing:
    """List the files of an image folder; arguments and errors as of `load_folder`."""
    check_folder(root)
    top = os.fspath(root)
    contents = look_into(top)
    folders, unused = split_folders(top, contents.folders, options.layout)
    by_split = {name: contents if path == top else look_into(path) for name, path in folders.items()}
    classes = _classes(folders, {name: found.folders for name, found in by_split.items()}, options.layout)
    walker = Walker(
        top,
        [os.path.join(folder, name) for folder in folders.values() for name in classes],
        hidden=options.layout == "0.2",
    )
    names: list[str] = []
    stats: list[tuple[int, int, int]] = []
    labels: list[int] = []
    sources: list[int] = []
    for source, folder in enumerate(folders.values()):
        for label, name in enumerate(classes):
            for file, row in walker.files(os.path.join(folder, name)):
                names.append(file)
                stats.append(row)
            labels += [label] * (len(names) - len(labels))
            sources += [source] * (len(names) - len(sources))
    return Listing(
        root=root,
        name=shown(root.name),
        where=shown(root),
        classes=classes,
        splits=tuple(folders),
        folders=tuple(folders.values()),
        names=names,
        stats=np.array(stats, np.int64).reshape(-1, 3),
        labels=np.array(labels, np.int64),
        sources=np.array(sources, np.int64),
        skipped=tuple(walker.skipped),
        notes=tuple(_notes(top, {top: contents, **_by_path(folders, by_split)}, unused, walker.links)),
    )


def _by_path(folders: dict[str, str], found: dict[str, Folder]) -> dict[str, Folder]:
    return {path: found[name] for name, path in folders.items()}


def _notes(top: str, found: dict[str, Folder], unused: list[str], links: list[str]) -> list[str]:
    """Say what was left out."""
    loose = [
        os.path.relpath(os.path.join(path, name), top)
        for path, folder in found.items()
        for name, _ in folder.files
        if name.lower().endswith(_SUFFIXES)
    ]
    notes = []
    if unused:
        notes.append(f"{len(unused)} folder(s) beside the splits are not used: {enumerated(unused)}")
    if loose:
        notes.append(f"{len(loose)} image(s) beside the class folders are not used: {enumerated(loose)}")
    if links:
        notes.append(
            f"{len(links)} link(s) to folders that are read already, or that hold the data, are left out: "
            f"{enumerated(links)}"
        )
    return notes


def _classes(folders: dict[str, str], by_split: dict[str, list[str]], layout: str) -> tuple[str, ...]:
    first, *others = by_split
    classes = by_split[first]
    for other in others:
        if by_split[other] != classes:
            here = sorted(set(classes) - set(by_split[other]))
            there = sorted(set(by_split[other]) - set(classes))
            raise UserError(
                f"the splits must have the same classes, but {shown(folders[first])!r} and "
                f"{shown(folders[other])!r} differ: only in the first {here}, only in the second {there}"
            )
    if len(classes) < 2:
        found = f"one class folder, {classes[0]!r}" if classes else "no class folders"
        flat = (
            "" if layout == "flat" or first != "train" else "; if 'train' is a class, give the layout 'flat'"
        )
        raise UserError(
            f"data {shown(folders[first])!r} has {found}; at least two are needed, one folder of images per class{flat}"
        )
    for name in classes:
        check_text(f"data {shown(folders[first])!r} has the class folder", name)
    return tuple(classes)


def check_folder(root: Path) -> None:
    """Refuse what is not a folder.

    Raises:
        UserError: It is not; the sentence names it.
    """
    if not root.is_dir():
        raise UserError(f"data {shown(root)!r} is not a folder; give 'digits' or a folder of images")


def holds(root: Path, path: Path) -> bool:
    """Whether a path is in a folder of images, or is that folder."""
    folder = root.resolve()
    place = path.resolve()
    return folder == place or folder in place.parents
