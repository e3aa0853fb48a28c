"""Which folders of a data set are splits, and which are classes."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

from narsfast.common.names import shown
from narsfast.errors import UserError

from ._listing import WHOLE_FOLDER, enumerated

SPLIT_NAMES: Mapping[str, tuple[str, ...]] = {
    "train": ("train",),
    "val": ("val", "validation", "valid", "dev", "development"),
    "test": ("test", "testing"),
}
"""Names of folders for each split, in lower case; also in the column ``split`` of a table, where ``training`` is one."""

_NAMES_0_2 = {"train": ("train",), "val": ("val", "validation", "valid"), "test": ("test",)}
_LIKE_A_SPLIT = re.compile(
    r"(train|training|val|valid|validation|dev|development|test|testing|eval|evaluation|holdout)([\W\d_].*)?",
    re.IGNORECASE,
)
_IF_CLASSES = "if these are classes, give the layout 'flat'"


def split_folders(root: str, names: Sequence[str], layout: str) -> tuple[dict[str, str], list[str]]:
    """Find the folder of each split.

    Args:
        root: The folder of the data.
        names: Of the folders in it.
        layout: As in `FolderOptions`.

    Returns:
        The paths of the folders of class folders by split, only `WHOLE_FOLDER` where there are no splits; and the names
        of folders that are not used.

    Raises:
        UserError: It cannot be told which folders are splits.
    """
    if layout == "flat":
        return {WHOLE_FOLDER: root}, []
    known = _NAMES_0_2 if layout == "0.2" else SPLIT_NAMES
    found = {split: [name for name in names if name.lower() in synonyms] for split, synonyms in known.items()}
    if not found["train"]:
        return _without_train(root, names, found, layout), []
    for split, folders in found.items():
        if len(folders) > 1:
            what = {"val": "validation"}.get(split, split)
            raise UserError(f"data {shown(root)!r} has more than one {what} folder: {folders}; keep one")
    chosen = {split: folders[0] for split, folders in found.items() if folders}
    others = [name for name in names if name not in chosen.values()]
    if layout != "0.2" and (alike := [name for name in others if _LIKE_A_SPLIT.fullmatch(name)]):
        raise UserError(
            f"data {shown(root)!r} has {enumerated(alike)} beside {chosen['train']!r}, which is not a split that "
            f"narsfast knows ({_known_names()}); rename it, or move it away; {_IF_CLASSES}"
        )
    return {split: os.path.join(root, name) for split, name in chosen.items()}, others


def _without_train(
    root: str, names: Sequence[str], found: Mapping[str, Sequence[str]], layout: str
) -> dict[str, str]:
    splits = [name for name in names if name.lower() == "training"] + [*found["val"], *found["test"]]
    if not splits and layout == "auto":
        splits = [name for name in names if _LIKE_A_SPLIT.fullmatch(name)]
    if splits:
        raise UserError(
            f"data {shown(root)!r} has {' and '.join(map(repr, splits))} and no 'train'; name the folder of the "
            f"training images 'train'; {_IF_CLASSES}"
        )
    if layout == "splits":
        raise UserError(f"data {shown(root)!r} has no folder 'train'; make one, or give another layout")
    return {WHOLE_FOLDER: root}


def _known_names() -> str:
    return "; ".join(", ".join(synonyms) for synonyms in SPLIT_NAMES.values())


def split_named(text: str) -> str | None:
    """Return the split that a table names, None where there is no such split."""
    name = text.strip().lower()
    if name == "training":
        return "train"
    return next((split for split, synonyms in SPLIT_NAMES.items() if name in synonyms), None)
