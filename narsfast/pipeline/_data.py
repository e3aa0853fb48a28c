"""The data of a run: that it is the one that the run was created with, wherever it lies now."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from narsfast.common.differences import differences
from narsfast.data import Content, Dataset, DataSource, content_changes, holds, shared_data
from narsfast.errors import UserError
from narsfast.runs import RunStore
from narsfast.space import Space

from ._config import RunConfig

CONTENT_FILE = "data-files.npz"
"""File of a run with what its data is made of: it saves hashing, and names what changed; the run goes on without it."""


def largest_resolution(config: RunConfig) -> int:
    """Return the largest resolution of the space, in pixels."""
    return max(int(value) for value in Space.from_dict(config.space).values("resolution"))


def run_data(store: RunStore, config: RunConfig) -> Dataset:
    """Load the data of a run that is open for writing, and keep what it is made of.

    A run of a version that did not keep it is checked by what that version kept.

    Args:
        store: The run.
        config: Its configuration; the data may lie elsewhere than that of the run does.

    Raises:
        UserError: It is not what the run was created with.
    """
    file = store.path / CONTENT_FILE
    before = Content.load(file)
    data = shared_data(
        config.data, largest_resolution(config), config.mirror, config.folder_options, known=before
    )
    found, stored, content = data.fingerprint(), store.facts.data, data.content
    expected = store.facts.content
    if expected is not None and (content is None or content.fingerprint != expected):
        changes = differences(stored or {}, found)
        if before is not None and content is not None and before.fingerprint == expected:
            changes = content_changes(before, content)
        raise _changed(config.data, "; ".join(changes) or "the content of files")
    if expected is None and stored is not None and stored != found:
        raise _changed(config.data, "; ".join(differences(stored, found)))
    if stored is None:
        store.facts.data = found
    if content is not None:
        if before is None or not np.array_equal(before.stats, content.stats):
            content.save(file)
        if expected is None:
            store.facts.content = content.fingerprint
    return data


def _changed(data: str, changes: str) -> UserError:
    return UserError(
        f"data: {data} has changed since the run was started: {changes}; restore it, name the place that it moved to as "
        "data, or start another run"
    )


def same_place(one: str, other: str) -> bool:
    """Whether two data sources are one, perhaps through a link."""
    return one == other or os.path.realpath(one) == os.path.realpath(other)


def refuse_inside(out: Path, data: str) -> None:
    """Refuse a new folder among the images that it is made from, where it would be taken for a class.

    Raises:
        UserError: `out` is in the folder of the data, or is that folder.
    """
    source = DataSource.parse(data)
    if source.kind == "folder" and holds(Path(source.text), out):
        raise UserError(f"out: {out} is in the folder of the images, {source.text}; name another place")
