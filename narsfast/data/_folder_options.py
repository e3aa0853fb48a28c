"""How a user wants an image folder or a table of labels to be read, as one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from narsfast.common.images import Reading
from narsfast.common.options import BitDepth, Layout
from narsfast.errors import UserError

KEPT_SIDE = 1.5
"""Short side kept of a larger image, as a multiple of the largest resolution (this project's choice).

Training crops below two thirds of the side are enlarged a little, everything else is never enlarged.
"""

DEEPEST = 16
"""Bits of a gray pixel that are supported, at most."""


@dataclass(frozen=True)
class FolderOptions:
    """How image files are found and read. The value ``0.2`` of an option is what version 0.2 did, for its runs.

    Attributes:
        layout: Which folders are splits and which are classes: ``flat`` are classes alone, ``splits`` is a folder for
            each split, ``auto`` is by the names.
        orient: Whether the orientation in EXIF data is applied.
        bit_depth: Bits that gray pixels of more than 8 bits use; ``auto`` is by the largest value of all files.

    Raises:
        UserError: A value that is not possible.
    """

    layout: str = "auto"
    orient: bool = True
    bit_depth: str = "auto"

    def __post_init__(self) -> None:
        for name, possible in (("layout", Layout), ("bit_depth", BitDepth)):
            value = getattr(self, name)
            if value not in get_args(possible):
                raise UserError(f"{name} is {value!r}; it must be one of {', '.join(get_args(possible))}")

    @property
    def by_content(self) -> bool:
        """Whether the bit depth follows from what the files contain."""
        return self.bit_depth == "auto"

    def reading(self, resolution: int) -> Reading:
        """Return how a file is read, for networks of up to `resolution` pixels; a bit depth by content begins as 16."""
        depth = {"auto": DEEPEST, "0.2": None}.get(self.bit_depth, self.bit_depth)
        return Reading(
            short_side=round(KEPT_SIDE * resolution),
            draft=True,
            orient=self.orient,
            bit_depth=None if depth is None else int(depth),
        )
