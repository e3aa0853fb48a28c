"""The page: one self-contained HTML file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._collect import collect
from ._figures import FIGURES
from ._html import amount, number
from ._sections import SECTIONS

if TYPE_CHECKING:
    from narsfast.runs import RunStore


def write_report(run: RunStore, path: str | Path) -> Path:
    """Write the report of a run, finished or not, as one HTML file.

    The file contains data, style and scripts of its figures and makes no network requests. All numbers are in it as
    JSON, in the element ``report-data``.

    Args:
        run: The run, opened for reading or writing.
        path: The file, which is written atomically.

    Returns:
        `path`.
    """
    from narsfast.common.files import write_file

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, render_report(collect(run), run.path, path))
    return path


def render_report(data: Mapping[str, Any], folder: Path, page: Path) -> str:
    """Render the content of the page as HTML.

    Args:
        data: The result of `collect`.
        folder: The run's directory.
        page: Path of the page, for relative links.
    """
    from plotly.offline import get_plotlyjs

    figures = {name: drawn for name, draw in FIGURES.items() if (drawn := draw(data)) is not None}
    places = set(figures), folder.absolute(), page.absolute()
    bodies = [(identifier, title, body(data, *places)) for identifier, title, body in SECTIONS]
    shown = [section for section in bodies if section[2]]
    sections = "\n".join(
        f'<section id="{identifier}"><h2>{escape(title)}</h2>\n{body}</section>'
        for identifier, title, body in shown
    )
    links = " ".join(f'<a href="#{identifier}">{escape(title)}</a>' for identifier, title, _ in shown)
    assets = files(__package__) / "assets"
    style = (assets / "page.css").read_text(encoding="utf-8")
    script = (assets / "page.js").read_text(encoding="utf-8")
    versions = ", ".join(f"{name} {version}" for name, version in data["versions"].items())
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(data["name"])} - narsfast report</title>
<link rel="icon" href="data:,">
<style>
{style}</style>
</head>
<body>
<header>
<p class="soft">narsfast report</p>
<h1>{escape(data["name"])}</h1>
<p class="soft">{escape(_state(data))}</p>
<ul class="tiles">{_tiles(data)}</ul>
<nav aria-label="Sections">{links}</nav>
</header>
<main>
<br>
{sections}
</main>
<footer><p>Written by {escape(versions) if versions else "narsfast"}. All numbers of this page are also in it
as JSON, in the element <code>report-data</code>.</p></footer>
<noscript><p>The plots need JavaScript; the tables do not.</p></noscript>
<script type="application/json" id="report-data">{_embedded(_without_images(data))}</script>
<script type="application/json" id="report-figures">{_embedded(figures)}</script>
<script>{get_plotlyjs()}</script>
<script>
{script}</script>
</body>
</html>
"""


def _embedded(value: Any) -> str:
    """Return JSON that cannot end the script element around it."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c").replace(">", "\\u003e")


def _without_images(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of the page without the images, which stand in their section."""
    rows = [{name: value for name, value in row.items() if name != "examples"} for row in data["by_class"]]
    return {**data, "by_class": rows}


def _state(data: Mapping[str, Any]) -> str:
    done, expected = len(data["trials"]), data["expected_trials"]
    budgets = len(data["config"].get("budgets", []))
    found = len(data["results"])
    text = f"{done} of {expected} picked trials have ended" if done < expected else f"{done} trials"
    source = f"Data {data['config'].get('data', 'unknown')}."
    if model := data["config"].get("model"):
        return f"Recipe of {model}. {source} {text}; the recipe is {'found' if found else 'not found yet'}."
    return f"{source} {text}; networks for {found} of {budgets} budgets."


def _tiles(data: Mapping[str, Any]) -> str:
    labels = [row["label"] for row in data["trials"] if row["label"] is not None]
    seconds = sum(row["seconds"] for row in [*data["trials"], *data["finals"]])
    best = max(data["results"], key=lambda result: float(result["test"]), default=None)
    tiles = [
        (str(len(data["trials"])), "trials"),
        (number(max(labels), 2, " %") if labels else None, f"best trial at epoch {data['label_epoch']}"),
        (str(data["early_stop_epoch"]) if data["early_stop_epoch"] else None, "early-stop epoch"),
        (number(data["prediction"]["tau"], 2), "Kendall tau of the picks"),
        (
            number(best["test"], 2, " %") if best else None,
            f"best test, {amount(best['macs'])} MACs" if best else "best test",
        ),
        (_duration(seconds) if seconds else None, "training time, all trials"),
    ]
    return "".join(
        f"<li><b>{escape(value) if value else '&ndash;'}</b><span>{escape(text)}</span></li>"
        for value, text in tiles
    )


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
