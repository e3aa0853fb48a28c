"""Tables of labels: a CSV file of paths, labels and perhaps splits."""

from __future__ import annotations

import csv
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from narsfast.common.names import shown
from narsfast.errors import UserError

from ._content import SPLITS
from ._layout import SPLIT_NAMES, split_named
from ._listing import WHOLE_FOLDER, Listing, enumerated, stat_row

SUFFIXES = (".csv", ".tsv")
"""How the names of tables end."""

_COLUMNS = ("path", "label", "split")
_OTHER_NAMES = {
    "file": "path",
    "filename": "path",
    "image": "path",
    "filepath": "path",
    "class": "label",
    "set": "split",
}
_Row = tuple[int, str, str, str]


def list_table(file: Path) -> Listing:
    """List the files of a table.

    Columns are ``path`` (relative to the table's folder, or absolute), ``label`` (a class) and perhaps ``split``, named
    in the first line or in this order without names; a missing split is taken as from a folder.

    Raises:
        UserError: The table cannot be read or used; the sentence names the line.
    """
    check_table(file)
    rows = list(_rows(file))
    classes = tuple(sorted({label for _, _, label, _ in rows}))
    if len(classes) < 2:
        raise UserError(f"data {shown(file)!r} has the label(s) {list(classes)}; at least two are needed")
    splits = _splits(file, rows)
    root = file.parent
    seen: dict[str, int] = {}
    stats: list[tuple[int, int, int]] = []
    missing: list[str] = []
    for line, path, _, _ in rows:
        place = os.path.normpath(os.path.join(root, path))
        if (other := seen.setdefault(place, line)) != line:
            raise UserError(
                f"data {shown(file)!r}: line {line} names {path!r}, as line {other} does; keep one of them"
            )
        try:
            status = os.stat(place)
        except OSError:
            missing.append(path)
            continue
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"data {shown(file)!r}: line {line} names {path!r}, which is not a file")
        stats.append(stat_row(status))
    if missing:
        raise UserError(
            f"data {shown(file)!r} names {len(missing)} file(s) that cannot be found: {enumerated(missing)}; paths are "
            "relative to the folder of the table"
        )
    order = sorted(
        range(len(rows)), key=lambda i: (splits.index(_split(rows[i], splits)), rows[i][2], rows[i][1])
    )
    rows = [rows[i] for i in order]
    return Listing(
        root=root,
        name=shown(file.stem),
        where=shown(file),
        classes=classes,
        splits=splits,
        folders=tuple(os.fspath(file) for _ in splits),
        names=[path for _, path, _, _ in rows],
        stats=np.array([stats[i] for i in order], np.int64).reshape(-1, 3),
        labels=np.array([classes.index(label) for _, _, label, _ in rows], np.int64),
        sources=np.array([splits.index(_split(row, splits)) for row in rows], np.int64),
    )


def _rows(file: Path) -> Iterator[_Row]:
    """Yield line, path, label and split of each row."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"data {shown(file)!r} is not UTF-8 ({error.reason}); save it as UTF-8") from None
    except OSError as error:
        raise UserError(f"data {shown(file)!r} cannot be read ({error.strerror})") from None
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(text.splitlines(), delimiter=delimiter)
    columns: list[str] | None = None
    for cells in reader:
        values = [cell.strip() for cell in cells]
        if not any(values):
            continue
        if columns is None:
            names = [_OTHER_NAMES.get(value.lower(), value.lower()) for value in values]
            columns = names if {"path", "label"} <= set(names) else list(_COLUMNS[: len(values)])
            if columns == names:
                continue
        if len(values) != len(columns) or len(columns) < 2:
            raise UserError(
                f"data {shown(file)!r}: line {reader.line_num} has {len(values)} column(s); give path, label and "
                "perhaps split, named in the first line or in this order"
            )
        row = dict(zip(columns, values, strict=True))
        for name in ("path", "label"):
            if not row[name]:
                raise UserError(f"data {shown(file)!r}: line {reader.line_num} has no {name}; fill it in")
        yield reader.line_num, row["path"], row["label"], row.get("split", "")


def _splits(file: Path, rows: list[_Row]) -> tuple[str, ...]:
    """Return the splits that there are, in their order."""
    found = set()
    for line, _, _, text in rows:
        split = split_named(text)
        if text and split is None:
            known = "; ".join(", ".join(names) for names in SPLIT_NAMES.values())
            raise UserError(f"data {shown(file)!r}: line {line} has the split {text!r}; splits are {known}")
        found.add(split)
    if found == {None}:
        return (WHOLE_FOLDER,)
    if None in found:
        line = next(line for line, _, _, text in rows if not text)
        raise UserError(f"data {shown(file)!r}: line {line} has no split, and others have one; fill it in")
    if "train" not in found:
        raise UserError(f"data {shown(file)!r} has no row of the split 'train'; give some")
    return tuple(split for split in SPLITS if split in found)


def _split(row: _Row, splits: tuple[str, ...]) -> str:
    return split_named(row[3]) or splits[0]


def check_table(file: Path) -> None:
    """Refuse what is not a file.

    Raises:
        UserError: It is not; the sentence names it.
    """
    if not file.is_file():
        raise UserError(f"data {shown(file)!r} is not a file; name a table of path, label and perhaps split")
