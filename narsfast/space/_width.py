"""Rounding of channel widths that are derived from others.

Both rules are those of the released FBNetV3 models, whose parameter counts they reproduce exactly.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_RELATIVE = re.compile(r"(input|hidden)/([1-9][0-9]{0,3})( exact)?")


def round_width(width: int) -> int:
    """Round to the nearest multiple of 8 (halves up), at least 8; add 8 if that is below 95 % of `width`."""
    nearest = max(8, (width + 4) // 8 * 8)
    return nearest + 8 if 20 * nearest < 19 * width else nearest


class SqueezedWidth(NamedTuple):
    """How the inner width of a squeeze-excite follows from the widths of its block.

    Attributes:
        width: The width itself; 0 where it follows from another.
        divisor: What the other is divided by: the block's input where positive, the hidden width where negative.
        rounded: Whether the quotient is rounded as by `round_width`; else it is rounded down, to at least 1.
    """

    width: int
    divisor: int
    rounded: bool

    @classmethod
    def of(cls, written: int | str) -> SqueezedWidth:
        """Parse a width as definitions write it: 24, "input/4", "hidden/4", "input/4 exact".

        Raises:
            ValueError: It is none of these.
        """
        if isinstance(written, int) and not isinstance(written, bool) and 0 < written < 2**31:
            return cls(written, 0, False)
        found = _RELATIVE.fullmatch(written) if isinstance(written, str) else None
        if found is None:
            raise ValueError(
                'should be a width such as 24, or "input/4" or "hidden/4", perhaps with " exact"'
            )
        sign = 1 if found[1] == "input" else -1
        return cls(0, sign * int(found[2]), found[3] is None)

    @classmethod
    def from_code(cls, code: int) -> SqueezedWidth:
        """Return the rule of a `code`."""
        if code > 0:
            return cls(code, 0, False)
        sign = -1 if -code & 2 else 1
        return cls(0, sign * (-code >> 2), bool(-code & 1))

    @property
    def written(self) -> int | str:
        """The rule as definitions write it."""
        if self.width:
            return self.width
        of = "input" if self.divisor > 0 else "hidden"
        return f"{of}/{abs(self.divisor)}{'' if self.rounded else ' exact'}"

    @property
    def code(self) -> int:
        """The rule as one whole number, for native code: the width, or less than 0 where it follows from another."""
        if self.width:
            return self.width
        return -(4 * abs(self.divisor) + 2 * (self.divisor < 0) + self.rounded)

    def squeezed(self, in_channels: int, hidden: int, expansion: int | None) -> int:
        """Return the inner width.

        Args:
            in_channels: Of the block.
            hidden: Channels that are gated.
            expansion: The expansion that gave the hidden width. As in the released models, the input is then counted as
                the hidden width divided by it, which differs where the hidden width was rounded.
        """
        if self.width:
            return self.width
        if self.divisor < 0:
            quotient = hidden // -self.divisor
        else:
            quotient = (in_channels if expansion is None else hidden // expansion) // self.divisor
        return round_width(quotient) if self.rounded else max(1, quotient)


INPUT_QUARTER = SqueezedWidth.of("input/4")
"""The rule of the released FBNetV3 models."""
