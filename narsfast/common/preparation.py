"""How a pretrained network was given its images: what every training that starts from it keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from narsfast.errors import UserError

from .images import Interpolation


@dataclass(frozen=True)
class Preparation:
    """What a network expects of its images.

    Attributes:
        mean: Per channel, subtracted from values of 0 to 1.
        std: Per channel, by which they are divided then.
        interpolation: How images are resized, ``bilinear`` or ``bicubic``, both antialiased.
        crop: Side of the centered square that evaluation sees, as a share of the short side.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: Interpolation = "bilinear"
    crop: float = 1.0

    def __post_init__(self) -> None:
        if self.interpolation not in get_args(Interpolation):
            raise UserError(
                f"interpolation is {self.interpolation!r}; it must be one of {', '.join(get_args(Interpolation))}"
            )
        if not 0 < self.crop <= 1:
            raise UserError(f"crop is {self.crop:g}; it must be above 0 and at most 1")
        if len(self.mean) != len(self.std) or not self.mean or min(self.std) <= 0:
            raise UserError(
                f"mean is {self.mean} and std is {self.std}; each needs one number per channel, and std positive ones"
            )

    def for_channels(self, in_chans: int) -> Preparation:
        """Return the preparation of images with other channels: mean and std averaged, the same for all of them."""
        if in_chans == len(self.mean):
            return self
        mean, std = (sum(values) / len(values) for values in (self.mean, self.std))
        return Preparation((mean,) * in_chans, (std,) * in_chans, self.interpolation, self.crop)
