"""Rounding of channel widths that are derived from others.

Both rules are those of the released FBNetV3 models, whose parameter counts they reproduce exactly.
"""


def round_width(width: int) -> int:
    """Round to the nearest multiple of 8 (halves up), at least 8; add 8 if that is below 95 % of `width`."""
    nearest = max(8, (width + 4) // 8 * 8)
    return nearest + 8 if 20 * nearest < 19 * width else nearest


def squeezed_width(middle: int, expansion: int) -> int:
    """Return the inner width of squeeze-excite on `middle` expanded channels: a quarter of the block's input."""
    return round_width(middle // (4 * expansion))
