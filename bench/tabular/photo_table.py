"""Tables of real trainings on photos, which `bench/tabular/photos.py` makes: what each held-out photo got, by epoch.

A file holds the trainings of one kind on one data set. Cross-entropies are kept as logarithmic codes of 8 bits, whose
steps are a fifth of the value (an eighth of a nat at 0): means over hundreds of photos are within a percent of the true
ones, and the codes need half the bytes of finer ones.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Floats = NDArray[np.float64]

KINDS = ("main", "parent", "repeats", "long", "grid")
STEPS = 4.0
"""Codes per doubling of 1 + STEPS * cross-entropy."""


def to_code(loss: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Return the codes of cross-entropies in nats."""
    found = np.rint(STEPS * np.log2(1 + STEPS * np.nan_to_num(loss, nan=1e6, posinf=1e6)))
    return np.clip(found, 0, 255).astype(np.uint8)


def from_code(code: NDArray[np.uint8]) -> Floats:
    """Return the cross-entropies that codes stand for."""
    losses: Floats = (np.exp2(code / STEPS) - 1) / STEPS
    return losses


@dataclass(frozen=True)
class Outcome:
    """One training.

    Attributes:
        right: (E, N) bool: whether the network was right after each epoch about each held-out photo.
        codes: (E, N) uint8 cross-entropies (`from_code`).
        losses: (E,) mean training loss of each epoch, that of the recipe.
        outcome: ``ok`` or ``diverged``; a diverged one has fewer epochs than asked for.
        epochs: Asked for.
        seconds: Of the training with its validations, wall clock.
    """

    right: NDArray[np.bool_]
    codes: NDArray[np.uint8]
    losses: Floats
    outcome: str
    epochs: int
    seconds: float

    @classmethod
    def of(
        cls,
        logits: Tensor,
        labels: NDArray[np.int64],
        losses: Sequence[float],
        outcome: str,
        seconds: float,
        epochs: int,
    ) -> Outcome:
        """Return the outcome of a training by its logits (E, N, classes) on held-out photos."""
        wanted = functional.one_hot(logits.new_tensor(labels).long(), logits.shape[2])
        entropy = (logits.logsumexp(2) - (logits * wanted).sum(2)).numpy()
        right = (logits.argmax(2) == logits.new_tensor(labels)).numpy()
        length = len(logits)
        return cls(right, to_code(entropy), np.array(losses[:length]), outcome, epochs, seconds)

    def save(self, file: IO[bytes]) -> None:
        """Write it."""
        np.savez_compressed(file, **vars(self))

    @classmethod
    def load(cls, file: Path) -> Outcome:
        """Read what `save` wrote."""
        with np.load(file, allow_pickle=False) as kept:
            values = {name: kept[name] for name in kept.files}
        return cls(
            values["right"],
            values["codes"],
            values["losses"],
            str(values["outcome"]),
            int(values["epochs"]),
            float(values["seconds"]),
        )


@dataclass(frozen=True, eq=False)
class PhotoTable:
    """T trainings of one kind on one data set.

    Attributes:
        candidates: What was trained, or is to be, by number: architecture and recipe.
        number: (T,) which candidate.
        repeat: (T,) which split of the photos, and seed.
        held_out: (R, N) for each repeat, which photos are held out.
        outcomes: T.
    """

    candidates: list[dict[str, Any]]
    number: NDArray[np.int64]
    repeat: NDArray[np.int64]
    held_out: NDArray[np.int64]
    outcomes: list[Outcome]

    def __len__(self) -> int:
        return len(self.number)

    def accuracy(self, photos: NDArray[np.int64] | slice = slice(None)) -> Floats:
        """Return accuracy in percent on these of the held-out photos after each epoch (T, E).

        A training that diverged guesses one class from there on: it counts as chance by ten classes.
        """
        return self._means([outcome.right[:, photos] for outcome in self.outcomes], 100.0, 10.0)

    def cross_entropy(self, photos: NDArray[np.int64] | slice = slice(None)) -> Floats:
        """Return the mean cross-entropy in nats on these of the held-out photos after each epoch (T, E)."""
        return self._means(
            [from_code(outcome.codes[:, photos]) for outcome in self.outcomes], 1.0, np.log(10)
        )

    def _means(self, values: Sequence[NDArray[Any]], unit: float, missing: float) -> Floats:
        found = np.full((len(self), max(outcome.epochs for outcome in self.outcomes)), missing)
        for row, of_training in zip(found, values, strict=True):
            row[: len(of_training)] = unit * of_training.mean(axis=1)
        return found


def write_table(file: Path, table: PhotoTable) -> None:
    """Write a table: a zip of numpy arrays, compressed by LZMA."""
    lengths = np.array([len(outcome.right) for outcome in table.outcomes])
    arrays = {
        "candidates": np.frombuffer(json.dumps(table.candidates).encode(), np.uint8),
        "number": table.number.astype(np.int16),
        "repeat": table.repeat.astype(np.int8),
        "held_out": table.held_out.astype(np.int16),
        "length": lengths.astype(np.int16),
        "epochs": np.array([outcome.epochs for outcome in table.outcomes], np.int16),
        "diverged": np.array([outcome.outcome != "ok" for outcome in table.outcomes]),
        "seconds": np.array([outcome.seconds for outcome in table.outcomes], np.float32),
        "losses": np.concatenate([outcome.losses for outcome in table.outcomes]).astype(np.float32),
        # The epochs of one photo beside each other, where they are alike, compress best.
        "right": np.packbits(np.concatenate([outcome.right.T.ravel() for outcome in table.outcomes])),
        "codes": np.concatenate([outcome.codes.T.ravel() for outcome in table.outcomes]),
    }
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as packed:
        for name, values in arrays.items():
            raw = BytesIO()
            np.lib.format.write_array(raw, values, allow_pickle=False)
            entry = zipfile.ZipInfo(
                f"{name}.npy"
            )  # without the time of writing: equal tables are equal files
            entry.compress_type = zipfile.ZIP_LZMA
            packed.writestr(entry, raw.getvalue())


def read_table(file: Path) -> PhotoTable:
    """Read what `write_table` wrote."""
    with np.load(file, allow_pickle=False) as packed:
        arrays = {name: packed[name] for name in packed.files}
    photos = arrays["held_out"].shape[1]
    ends = np.cumsum(arrays["length"].astype(np.int64))
    bits = np.unpackbits(arrays["right"], count=int(ends[-1]) * photos).astype(np.bool_)
    outcomes = []
    for place, end in enumerate(ends.tolist()):
        length = int(arrays["length"][place])
        mine = slice((end - length) * photos, end * photos)
        outcomes.append(
            Outcome(
                bits[mine].reshape(photos, length).T,
                arrays["codes"][mine].reshape(photos, length).T,
                arrays["losses"][end - length : end].astype(np.float64),
                "diverged" if arrays["diverged"][place] else "ok",
                int(arrays["epochs"][place]),
                float(arrays["seconds"][place]),
            )
        )
    return PhotoTable(
        json.loads(arrays["candidates"].tobytes()),
        arrays["number"].astype(np.int64),
        arrays["repeat"].astype(np.int64),
        arrays["held_out"].astype(np.int64),
        outcomes,
    )
