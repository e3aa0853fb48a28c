"""What a data set is made of, file by file: whether two are the same, in what they differ, which files are copies."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from narsfast.common.files import replacing
from narsfast.common.names import shown

from ._listing import Listing, enumerated, stat_row

DIGEST = 16
"""Bytes of a file's SHA-256 that are kept."""

SPLITS = ("train", "val", "test")
"""The splits by their number."""

_THE_FILE = "the stored data set"
_NAMED = 3  # files named per kind of change


def digest_of(content: bytes | memoryview) -> bytes:
    """Return what identifies the content of a file."""
    return hashlib.sha256(content).digest()[:DIGEST]


@dataclass(frozen=True, eq=False)
class Content:
    """The images of a data set.

    Attributes:
        classes: Names, in the order of the labels.
        names: N paths relative to the data's root.
        stats: (n, 3) int64, as in `Listing.stats`, when they were read.
        digests: (n, 16) uint8, `digest_of` each file.
        labels: (n,) int64.
        splits: (n,) int8, indices of `SPLITS`.
        drawn: Whether splits were drawn from the labels, so that one file more puts others into another split.
    """

    classes: tuple[str, ...]
    names: list[str]
    stats: NDArray[np.int64]
    digests: NDArray[np.uint8]
    labels: NDArray[np.int64]
    splits: NDArray[np.int8]
    drawn: bool

    @cached_property
    def fingerprint(self) -> str:
        """A hash of names, contents, labels and splits; where the data lies and when it was written is no part of it."""
        total = hashlib.sha256("\0".join(self.classes).encode())
        total.update(b"\0\0" + b"\0".join(map(os.fsencode, self.names)) + b"\0\0")
        for column in (self.digests, self.labels, self.splits):
            total.update(np.ascontiguousarray(column).tobytes())
        return total.hexdigest()

    def names_of(self, split: str) -> list[str]:
        """Return the names of the files of one split, in the order of its images."""
        return [self.names[i] for i in np.flatnonzero(self.splits == SPLITS.index(split))]

    def digests_of(self, listing: Listing) -> dict[int, bytes]:
        """Return the digests of listed files that have the name, size and times of a file here, by their places."""
        if self.names == listing.names:
            own = np.arange(len(self.names))
        else:
            places = {name: place for place, name in enumerate(self.names)}
            own = np.array([places.get(name, -1) for name in listing.names], np.int64)
        same = np.flatnonzero(own >= 0)
        same = same[(self.stats[own[same]] == listing.stats[same]).all(axis=1)]
        raw = self.digests.tobytes()
        return {
            place: raw[DIGEST * start : DIGEST * (start + 1)]
            for place, start in zip(same.tolist(), own[same].tolist(), strict=True)
        }

    @classmethod
    def of_file(cls, file: Path, classes: tuple[str, ...], known: Content | None) -> Content:
        """Return the content of a data set in one file; it is hashed where it changed since `known`."""
        row = stat_row(file.stat())
        if known is not None and known.names == [_THE_FILE] and tuple(known.stats[0].tolist()) == row:
            return known
        total = hashlib.sha256()
        with file.open("rb", buffering=0) as content:
            while part := content.read(2**20):
                total.update(part)
        return cls(
            classes=classes,
            names=[_THE_FILE],
            stats=np.array([row], np.int64),
            digests=np.frombuffer(total.digest()[:DIGEST], np.uint8).reshape(1, DIGEST),
            labels=np.zeros(1, np.int64),
            splits=np.zeros(1, np.int8),
            drawn=False,
        )

    def save(self, file: Path) -> None:
        """Write it to a file, at once or not at all."""
        with replacing(file) as temporary, temporary.open("wb") as target:
            np.savez(
                target,
                classes=np.frombuffer("\0".join(self.classes).encode(), np.uint8),
                names=np.frombuffer(b"\0".join(map(os.fsencode, self.names)), np.uint8),
                stats=self.stats,
                digests=self.digests,
                labels=self.labels,
                splits=self.splits,
                drawn=np.array(self.drawn),
            )

    @classmethod
    def load(cls, file: Path) -> Content | None:
        """Read what `save` wrote; None where there is no such file, as it only saves time and words."""
        try:
            with np.load(file, allow_pickle=False) as stored:
                return cls(
                    classes=tuple(stored["classes"].tobytes().decode().split("\0")),
                    names=[os.fsdecode(name) for name in stored["names"].tobytes().split(b"\0")],
                    stats=stored["stats"],
                    digests=stored["digests"],
                    labels=stored["labels"],
                    splits=stored["splits"],
                    drawn=bool(stored["drawn"]),
                )
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None


def content_changes(before: Content, after: Content) -> list[str]:
    """Say in what two data sets differ: what was added, removed, changed, renamed, relabelled or given another split."""
    old = {name: place for place, name in enumerate(before.names)}
    new = {name: place for place, name in enumerate(after.names)}
    removed = [name for name in before.names if name not in new]
    added = [name for name in after.names if name not in old]
    by_digest: dict[bytes, str] = {bytes(before.digests[old[name]]): name for name in reversed(removed)}
    moved: list[tuple[str, str]] = []
    for name in added:
        if (origin := by_digest.pop(bytes(after.digests[new[name]]), None)) is not None:
            moved.append((origin, name))
    gone, come = {origin for origin, _ in moved}, {name for _, name in moved}
    pairs = [(name, name) for name in before.names if name in new] + moved
    changed, relabelled, resplit, renamed = [], [], [], []
    for origin, name in pairs:
        here, there = old[origin], new[name]
        label, now = before.classes[before.labels[here]], after.classes[after.labels[there]]
        split, then = SPLITS[before.splits[here]], SPLITS[after.splits[there]]
        if bytes(before.digests[here]) != bytes(after.digests[there]):
            changed.append(shown(name))
        if label != now:
            relabelled.append(f"{shown(origin)} from {label} to {now}")
        elif split != then:
            resplit.append(f"{shown(origin)} from {split} to {then}")
        elif origin != name:
            renamed.append(f"{shown(origin)} to {shown(name)}")
    if after.drawn and (added or removed or changed or relabelled):
        resplit = []  # splits are drawn anew, which is no news
    kinds = (
        ("added", [name for name in added if name not in come]),
        ("removed", [name for name in removed if name not in gone]),
        ("changed", changed),
        ("relabelled", relabelled),
        ("in another split", resplit),
        ("renamed", renamed),
    )
    return [f"{len(names)} {kind}: {enumerated(names, _NAMED)}" for kind, names in kinds if names]


def copies(
    names: Sequence[str], digests: NDArray[np.uint8], labels: NDArray[np.int64], splits: NDArray[np.int8]
) -> list[str]:
    """Say how many images are in several splits, or in several classes, and name some.

    Args:
        names: Of n images.
        digests: (n, 16) uint8 of their contents.
        labels: (n,) int64.
        splits: (n,) int8.
    """
    order = np.lexsort(digests.T)
    digests = digests[order]
    starts = np.flatnonzero(np.r_[True, (digests[1:] != digests[:-1]).any(axis=1)])
    ends = np.r_[starts[1:], len(order)]
    repeated = [np.sort(order[a:b]) for a, b in zip(starts, ends, strict=True) if b - a > 1]
    repeated.sort(key=lambda places: int(places[0]))
    return [
        *_said(names, repeated, "splits", splits.tolist()),
        *_said(names, repeated, "classes", labels.tolist()),
    ]


def _said(
    names: Sequence[str], groups: list[NDArray[np.int64]], what: str, values: list[int]
) -> Iterator[str]:
    several = [group for group in groups if len({values[place] for place in group.tolist()}) > 1]
    if not several:
        return
    named = []
    for group in several[:_NAMED]:
        first: dict[int, int] = {}
        for place in group.tolist():
            first.setdefault(values[place], place)
        named.append(" = ".join(shown(names[place]) for place in first.values()))
    more = f" and {len(several) - _NAMED} more" if len(several) > _NAMED else ""
    harm = (
        "accuracies on validation or test flatter; remove the copies"
        if what == "splits"
        else "no network can tell them apart; remove or relabel them"
    )
    yield f"{len(several)} image(s) are in several {what}, and {harm}: {', '.join(named)}{more}"
