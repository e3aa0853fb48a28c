"""A training that starts from trained weights: those of the same network, or of a parent that it is a child of."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

from torch import Tensor, nn

from narsfast.arch import CLASSIFIER, Images, Parent, load_weights, read_parent, read_weights
from narsfast.data import Dataset, batches
from narsfast.errors import UserError

_BATCH, _BATCHES = 64, 8


@dataclass(frozen=True)
class StartingPoint:
    """The trained narsfast network that a training starts from: all its weights but those of the classifier.

    Attributes:
        weights: File of its weights (safetensors).
        padding: Padding mode that it was built with.
    """

    weights: str
    padding: str = "published"

    def load(self, network: nn.Module, images: Images | None = None) -> None:
        """Give the network the weights of this one; its own classifier stays.

        Args:
            network: As it was built.
            images: Batches of training images, for starts that are fitted to them.

        Raises:
            UserError: The file cannot be read, or it is of another architecture.
        """
        load_weights(network, self.weights, but=CLASSIFIER)

    def digest(self) -> str:
        """Return the SHA-256 of the file.

        Raises:
            UserError: It cannot be read.
        """
        try:
            return hashlib.sha256(Path(self.weights).read_bytes()).hexdigest()
        except OSError as error:
            raise UserError(
                f"weights {self.weights!r} cannot be read ({error.strerror}); put the file back"
            ) from None


@dataclass(frozen=True)
class InheritedStart(StartingPoint):
    """The parent whose weights a child inherits, all but those of the classifier.

    Attributes:
        weights: File that `narsfast.arch.Parent.save` wrote.
        tuned: File of the weights that a training of it on the same classes ended with: a child inherits those, the
            classifier's too.
    """

    tuned: str | None = None

    def load(self, network: nn.Module, images: Images | None = None) -> None:
        """Give the network the weights that it inherits; its own classifier stays, unless the parent is tuned.

        Raises:
            UserError: A file cannot be read, or the network is no child of the parent.
        """
        files = [Path(file) for file in (self.weights, self.tuned) if file is not None]
        changed = tuple(file.stat().st_mtime_ns if file.exists() else None for file in files)
        parent = _parent(self.weights, self.tuned, changed)
        parent.give(network, images, fresh_classifier=self.tuned is None)

    def digest(self) -> str:
        """Return a hash of what is inherited.

        Raises:
            UserError: A file cannot be read.
        """
        if self.tuned is None:
            return super().digest()
        return f"{super().digest()} tuned {StartingPoint(self.tuned).digest()}"


def first_images(data: Dataset, resolution: int) -> list[Tensor]:
    """Return up to 512 training images, augmented as in an epoch of seed 0, in batches.

    Their number is this project's choice: with twice as many, children were no better (docs/pretrained.md).
    """
    size = min(_BATCH, len(data.train))
    drawn = batches(data.train, resolution, size, training=True)
    return [images for images, _ in islice(drawn, _BATCHES)]


@lru_cache(maxsize=4)
def _parent(file: str, tuned: str | None, changed: tuple[int | None, ...]) -> Parent:
    """Read a parent, once for all trials of a process as long as its files stay."""
    parent = read_parent(file)
    return parent if tuned is None else parent.tuned(read_weights(tuned))
