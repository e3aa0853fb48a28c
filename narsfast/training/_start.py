"""A training that starts from trained weights: those of the same network, or of a parent that it is a child of."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from torch import nn

from narsfast.arch import CLASSIFIER, Parent, load_weights, read_parent
from narsfast.errors import UserError


@dataclass(frozen=True)
class StartingPoint:
    """The trained narsfast network that a training starts from: all its weights but those of the classifier.

    Attributes:
        weights: File of its weights (safetensors).
        padding: Padding mode that it was built with.
    """

    weights: str
    padding: str = "published"

    def load(self, network: nn.Module) -> None:
        """Give the network the weights of this one; its own classifier stays.

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
    """

    def load(self, network: nn.Module) -> None:
        """Give the network the weights that it inherits; its own classifier stays.

        Raises:
            UserError: The file cannot be read, or the network is no child of the parent.
        """
        status = Path(self.weights).stat() if Path(self.weights).exists() else None
        _parent(self.weights, None if status is None else status.st_mtime_ns).give(network)


@lru_cache(maxsize=4)
def _parent(file: str, changed: int | None) -> Parent:
    """Read a parent, once for all trials of a process as long as its file stays."""
    return read_parent(file)
