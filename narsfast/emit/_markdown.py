"""Markdown with text in it that others chose: names of classes, folders and models, messages of libraries."""

from __future__ import annotations

import re
from collections.abc import Iterable

_MARKS = re.compile(r"([\\`*\[\]<>&#!~]|(?<![^\W_])_|_(?![^\W_]))")
"""What Markdown reads as more than itself; of underscores, those that are not inside a word."""


def as_text(text: object) -> str:
    """Return what others chose as plain text, on one line."""
    return _MARKS.sub(r"\\\1", " ".join(str(text).split()))


def as_code(text: object) -> str:
    """Return what others chose as a code span, on one line."""
    line = " ".join(str(text).split())
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    return f"{fence} {line} {fence}" if "`" in line else f"`{line}`"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table; bars in cells are escaped."""
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)
