"""The sections of the page in their order, and the one on the configuration."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path

from ._class_section import by_class
from ._html import code, missing, paragraph, table
from ._parents_section import parents
from ._race_section import races
from ._results_section import macs, results
from ._search_sections import batches, curves, importance, prediction, quality, trials
from ._style import Data


def configuration(data: Data, drawn: set[str], folder: Path, page: Path) -> str:
    """Return the section on the configuration of the run and the versions of packages."""
    shown = {key: value for key, value in data["config"].items() if key != "space"}
    space = data["config"].get("space")
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in shown.items()}
    rows = [(key.replace("_", " "), code(text)) for key, text in texts.items()]
    parts = [table(("option", "value"), rows, identifier="configuration")]
    if space is not None:
        name = space.get("name", "unnamed") if isinstance(space, Mapping) else str(space)
        parts.append(
            "<details><summary>Space "
            f"{escape(name)}</summary><pre>{escape(json.dumps(space, indent=1))}</pre></details>"
        )
    parts.append("<h3>Versions</h3>")
    if data["versions"]:
        parts.append(table(("what", "version"), list(data["versions"].items()), identifier="versions"))
        parts += [paragraph(f"Accepted within the run: {change}.") for change in data["accepted"]]
    else:
        parts.append(missing("The run has not recorded versions."))
    return "".join(parts)


Section = Callable[[Data, set[str], Path, Path], str]

SECTIONS: tuple[tuple[str, str, Section], ...] = (
    ("results-section", "Results", results),
    ("races-section", "Races", races),
    ("macs", "Accuracy against cost", macs),
    ("parents-section", "Parents", parents),
    ("classes-section", "By class", by_class),
    ("prediction-section", "Predicted against measured", prediction),
    ("batches-section", "Picked and random batches", batches),
    ("curves", "Learning curves", curves),
    ("importance", "Importance of fields", importance),
    ("fits-section", "The predictor and simple regressors", quality),
    ("trials-section", "Trials", trials),
    ("configuration-section", "Configuration and versions", configuration),
)
"""Id, title and body of each section, in the order of the page; one whose body is empty is left out."""
