"""Pieces of HTML whose content is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Markup:
    """Text that is HTML and must not be escaped."""

    html: str


def render(value: object) -> str:
    """Return a value as HTML: markup unchanged, None as a dash, everything else as escaped text."""
    if isinstance(value, Markup):
        return value.html
    return "&ndash;" if value is None else escape(str(value))


def paragraph(text: str, *, soft: bool = False) -> str:
    """Return a paragraph of plain text."""
    return f'<p class="soft">{escape(text)}</p>' if soft else f"<p>{escape(text)}</p>"


def missing(text: str) -> str:
    """Return a note in place of content that does not exist yet."""
    return f'<p class="missing">{escape(text)}</p>'


def link(target: str, text: str) -> Markup:
    """Return a link to a target that is quoted for a URL."""
    return Markup(f'<a href="{escape(target)}">{escape(text)}</a>')


def code(text: str) -> Markup:
    """Return a piece of code or an id."""
    return Markup(f"<code>{escape(text)}</code>")


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    numbers: Iterable[int] = (),
    identifier: str = "",
) -> str:
    """Return a table that scrolls horizontally on a narrow screen.

    Args:
        head: Titles of the columns.
        rows: Cells, as for `render`.
        numbers: Indices of right-aligned columns.
        identifier: Id of the table, possibly empty.
    """
    right = set(numbers)

    def cell(tag: str, index: int, value: object) -> str:
        scope = ' scope="col"' if tag == "th" else ""
        kind = ' class="number"' if index in right else ""
        return f"<{tag}{scope}{kind}>{render(value)}</{tag}>"

    titles = "".join(cell("th", i, title) for i, title in enumerate(head))
    body = "\n".join(f"<tr>{''.join(cell('td', i, v) for i, v in enumerate(row))}</tr>" for row in rows)
    name = f' id="{escape(identifier)}"' if identifier else ""
    content = f"<thead><tr>{titles}</tr></thead><tbody>\n{body}\n</tbody>"
    return f'<div class="scroll"><table{name}>{content}</table></div>'


def figure(identifier: str, description: str) -> str:
    """Return the element into which a figure is drawn."""
    label = f'role="img" aria-label="{escape(description)}"'
    return f'<div class="figure" id="figure-{escape(identifier)}" {label}></div>'


def number(value: float | None, digits: int = 2, unit: str = "") -> str | None:
    """Format a number with thousands separators; None stays None."""
    return None if value is None else f"{value:,.{digits}f}{unit}"


def amount(value: float | None) -> str | None:
    """Format a count to three digits with K, M or G; None stays None."""
    if value is None:
        return None
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "K")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{suffix}"
    return f"{value:g}"
