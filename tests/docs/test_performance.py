"""The performance page quotes what the result files hold."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "performance.md").read_text()
NAMES = ("depthwise_se", "train_step", "ops_accuracy", "search_time", "search_speed", "search_optimum")


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_those_of_the_results(name):
    figures = json.loads((ROOT / "bench" / "results" / f"{name}.json").read_text())["figures"]
    quoted = dict(re.findall(r"^\| `(\w+)` \| ([\d.,-]+) \|", PAGE, re.M))
    assert figures
    for figure, value in figures.items():
        assert quoted[figure] == f"{value:,.2f}", figure
