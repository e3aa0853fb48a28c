"""Channel widths: how a width that follows from another one is rounded.

Source of both rules: the released FBNetV3 models, whose parameter counts they reproduce to the unit.
"""


def round_width(width: int) -> int:
    """The nearest multiple of 8 (halves up), at least 8; 8 more where that is under 95 % of `width`."""
    nearest = max(8, (width + 4) // 8 * 8)
    return nearest + 8 if 20 * nearest < 19 * width else nearest


def squeezed_width(middle: int, expansion: int) -> int:
    """Inner width of a squeeze-excite on `middle` expanded channels: a quarter of the block's input."""
    return round_width(middle // (4 * expansion))
