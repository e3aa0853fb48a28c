"""The confused photos of a network as one picture, for its card."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

from PIL import Image, ImageDraw

from narsfast.runs import Confusion

SHEET_FILE = "confused.jpg"
"""Name of the picture in an emitted folder."""

_CELL = 96  # pixels, of a photo
_GAP = 4  # pixels around it
_MARGIN = 28  # pixels, for the number of the row


def contact_sheet(confusions: Sequence[Confusion]) -> bytes | None:
    """Draw the examples of each confusion in a row with its number, from 1; names are for the text beside it.

    Returns:
        The content of a JPEG file; None where there are no examples.
    """
    rows = [confusion.examples for confusion in confusions if confusion.examples]
    if not rows:
        return None
    step = _CELL + 2 * _GAP
    sheet = Image.new("RGB", (_MARGIN + step * max(map(len, rows)), step * len(rows)), "white")
    pen = ImageDraw.Draw(sheet)
    for row, examples in enumerate(rows):
        pen.text((_GAP, row * step + step // 2), str(row + 1), fill="black", anchor="lm")
        for column, example in enumerate(examples):
            photo = Image.open(io.BytesIO(base64.b64decode(example.thumbnail))).convert("RGB")
            photo = photo.resize(_fitted(photo.size))
            left, top = _MARGIN + column * step + _GAP, row * step + _GAP
            sheet.paste(photo, (left + (_CELL - photo.width) // 2, top + (_CELL - photo.height) // 2))
    content = io.BytesIO()
    sheet.save(content, "JPEG", quality=85)
    return content.getvalue()


def _fitted(size: tuple[int, int]) -> tuple[int, int]:
    """Return the size at which a photo fills a cell."""
    scale = _CELL / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
