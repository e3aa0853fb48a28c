"""How long trainings are where nobody says it. All values are this project's choice (docs/recipes.md)."""

from __future__ import annotations

import math
from typing import Literal

from narsfast.common.options import RUN_OPTIONS

Start = Literal["scratch", "parent"]
"""What the weights of a training are at first: fresh ones, or those of a trained network."""

Purpose = Literal["trial", "final"]
"""What a training is for: to compare candidates, or to emit a network."""

_IMAGES = 3000
_TRIAL_EPOCHS = 6
_FEWEST, _MOST = 2, 24
_FINAL_TRIALS = 3
_OPTIONS = {"trial": "epochs", "final": "final_epochs"}


def default_epochs(images: int, start: Start, purpose: Purpose) -> int:
    """Return the number of epochs where none is given.

    From scratch it is the option's default, whatever the data. From a parent a trial has ``6 * sqrt(3000 / images)``
    epochs, 2 at least and 24 at most, and a final training three times as many: with more images an epoch has more
    steps, of which a trained network needs few, while on few images many epochs soon repeat themselves.

    Args:
        images: Training images, at least 1.
        start: Kind of start.
        purpose: What the training is for.
    """
    if start == "scratch":
        default: int = RUN_OPTIONS[_OPTIONS[purpose]].default
        return default
    trial = min(_MOST, max(_FEWEST, round(_TRIAL_EPOCHS * math.sqrt(_IMAGES / images))))
    return trial if purpose == "trial" else _FINAL_TRIALS * trial
