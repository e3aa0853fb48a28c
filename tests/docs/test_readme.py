"""The README shows the numbers of the result files."""

import json
import re
from pathlib import Path

import pytest

from bench.render_docs import RESULTS, number

TEXT = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
QUOTED = re.findall(r"^\| [^|]+ \| `(\w+)\.(\w+)` \| (\S+) \|$", TEXT, re.M)


def figures(result):
    return json.loads((RESULTS / f"{result}.json").read_text())["figures"]


def test_all_quoted_figures_are_found():
    assert len(QUOTED) == 9


@pytest.mark.parametrize(("result", "figure", "quoted"), QUOTED)
def test_quoted_figure_is_that_of_the_result(result, figure, quoted):
    assert quoted == number(figures(result)[figure])


@pytest.mark.parametrize("known", ["mobilenet_v3_small", "mobilenet_v3_large"])
def test_table_of_found_and_known_networks_has_the_results(known):
    found = {name.removeprefix(f"{known}_"): value for name, value in figures("baselines").items()}
    baseline = [
        f"{found['baseline_macs']:,.0f}",
        *(f"{found[f'baseline_{split}']:.2f}" for split in ("validation", "test")),
    ]
    ours = [
        f"{found['found_macs']:,.0f}",
        *(f"{found[f'found_{split}']:.2f}" for split in ("validation", "test")),
    ]
    gap = f"{found['gap']:.2f} +- {found['gap_error']:.2f}"
    assert f"| {known} | {' | '.join(baseline)} | |\n| found | {' | '.join(ours)} | {gap} |\n" in TEXT


def test_correlations_of_the_predictor_are_those_of_the_results():
    taus = figures("baselines")
    sentence = "Kendall tau {predictor_tau:.2f}; ridge regression {ridge_tau:.2f}, multiply-adds alone {macs_tau:.2f})"
    assert sentence.format(**taus) in " ".join(TEXT.split())
