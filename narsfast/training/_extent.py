"""How large and how long a training is: what a recipe makes of the resolution and of an epoch."""

from __future__ import annotations

import math

from narsfast.space import Recipe

SIDE_STEP = 8
"""Training images that are smaller than the architecture's have sides of a multiple of this, in pixels."""

_ROUNDING = 1e-9  # what a product of a share may be off: 0.7 * 240 is a little below 168


def training_side(recipe: Recipe, resolution: int) -> int:
    """Side of the training images, pixels: `train_resolution` times the resolution, rounded down.

    Args:
        recipe: the share; 1 is the resolution itself, whatever it is.
        resolution: of the architecture, pixels.
    """
    if recipe.train_resolution == 1:
        return resolution
    steps = math.floor(recipe.train_resolution * resolution / SIDE_STEP + _ROUNDING)
    return min(resolution, SIDE_STEP * max(1, steps))


def epoch_steps(recipe: Recipe, whole: int) -> int:
    """Steps of one epoch: `epochs_share` of the `whole` steps of a pass over the images, rounded up."""
    return math.ceil(recipe.epochs_share * whole - _ROUNDING)
