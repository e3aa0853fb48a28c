"""A training that starts from a trained network of other classes: fine-tuning."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from narsfast.arch import CLASSIFIER, load_weights
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
