"""What training does to images beyond resizing them, as one value."""

from __future__ import annotations

from dataclasses import dataclass

from narsfast.errors import UserError
from narsfast.space import Recipe

POLICIES = {"randaugment": 9, "autoaugment": 30, "trivialaugment": 30}
"""Policies of operations beyond cropping, with the strength of their published settings."""

AUGMENTATIONS = ("none", "crop", *POLICIES)
"""What a recipe may ask for: nothing, random crops (mirrored where that keeps the class), or a policy too."""

STRENGTHS = 30
"""The largest strength: the magnitudes of RandAugment and TrivialAugment are counted from 0 to 30."""


@dataclass(frozen=True)
class Augmentation:
    """What training does to each image beyond resizing it; evaluation does none of it.

    The default is random crops alone. Every random choice is a function of (seed, epoch, sample), which the batches
    are asked for with.

    Attributes:
        kind: One of `AUGMENTATIONS`.
        strength: Of the policy, 0 to `STRENGTHS`. RandAugment: the magnitude. The others, whose magnitudes are their
            own: of 30 images, how many are changed. None is the published setting (`POLICIES`).
        color: Strength of color jitter, 0 to 1; 0 is off.
        erasing: Probability that an image loses a rectangle.

    Raises:
        UserError: A value that is not possible.
    """

    kind: str = "crop"
    strength: int | None = None
    color: float = 0.0
    erasing: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in AUGMENTATIONS:
            raise UserError(f"augmentation is {self.kind!r}; it must be one of {', '.join(AUGMENTATIONS)}")
        if self.strength is not None and not 0 <= self.strength <= STRENGTHS:
            raise UserError(
                f"augmentation strength is {self.strength}; it must lie between 0 and {STRENGTHS}"
            )
        for name, value in (("color", self.color), ("erasing", self.erasing)):
            if not 0 <= value <= 1:
                raise UserError(f"augmentation {name} is {value}; it must lie between 0 and 1")

    @classmethod
    def of(cls, recipe: Recipe) -> Augmentation:
        """Return what a recipe asks for."""
        return cls(recipe.augmentation, recipe.augmentation_strength, recipe.color, recipe.erasing)

    @property
    def crops(self) -> bool:
        """Whether images are cropped at random and mirrored."""
        return self.kind != "none"

    @property
    def has_policy(self) -> bool:
        """Whether a policy of further operations follows the crop."""
        return self.kind in POLICIES

    @property
    def policy_strength(self) -> int:
        """Strength of the policy: the published one where none is given."""
        return POLICIES[self.kind] if self.strength is None else self.strength


CROPS = Augmentation()
"""Random crops alone: what training images get where nothing else is asked for."""
