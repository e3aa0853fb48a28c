"""The pages on performance and on quality quote what the result files hold."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = "".join((ROOT / "docs" / page).read_text() for page in ("performance.md", "quality.md"))
NAMES = sorted({path.stem for path in (ROOT / "bench" / "results").glob("*.json")} - {"cuda_registers"})
"""A table of registers and spills is linked to, not quoted."""


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_those_of_the_results(name):
    figures = json.loads((ROOT / "bench" / "results" / f"{name}.json").read_text())["figures"]
    quoted = dict(re.findall(r"^\| `(\w+)` \| ([\d.,-]+) \|", PAGES, re.M))
    assert figures
    for figure, value in figures.items():
        digits = len(quoted[figure].partition(".")[2])
        assert digits >= 2
        assert quoted[figure] == f"{value:,.{digits}f}", figure
