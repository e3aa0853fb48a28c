import csv
import json
from contextlib import contextmanager

import pytest

from narsfast import pipeline
from narsfast.common.candidate import Candidate
from narsfast.runs import FoundCandidate

FOUND = [
    FoundCandidate(
        Candidate({"resolution": 32}, {"ema": True, "learning_rate": 0.001 * number}),
        predicted=60.0 + number,
        std=0.5,
        statistics={"macs": 1000 * number, "params": 10},
    )
    for number in range(50)
]
ROWS = [found.to_dict() for found in FOUND]


@pytest.fixture
def asked(monkeypatch):
    """Record what the command asks the stage for; the stage answers with FOUND."""
    found = []

    @contextmanager
    def open_search(*_):
        yield "search"

    def pareto(search, statistics, between):
        found.append((statistics, between))
        return FOUND

    monkeypatch.setattr(pipeline, "open_search", open_search)
    monkeypatch.setattr(pipeline, "pareto", pareto)
    return found


def test_the_table_shows_some_with_their_uncertainty(run_narsfast, asked):
    code, out, _ = run_narsfast("pareto", "somewhere")
    assert (code, asked) == (0, [(["macs"], None)])
    assert "Front of 50 candidates, one in 3 shown" in out
    assert "std" in out
    assert "60.00" in out
    assert "params" not in out


def test_files_hold_the_whole_front(run_narsfast, asked, tmp_path):
    options = ["--statistic", "macs", "--statistic", "params", "--between", "1K:5K", "--json"]
    _, out, _ = run_narsfast("pareto", "somewhere", *options, "--out", tmp_path / "front.json")
    run_narsfast("pareto", "somewhere", "--out", tmp_path / "front.csv")
    assert asked[0] == (["macs", "params"], "1K:5K")
    assert json.loads(out) == json.loads((tmp_path / "front.json").read_text()) == ROWS
    lines = list(csv.DictReader((tmp_path / "front.csv").read_text().splitlines()))
    assert [float(line["predicted"]) for line in lines] == [row["predicted"] for row in ROWS]
    assert json.loads(lines[0]["architecture"]) == ROWS[0]["architecture"]


def test_another_kind_of_file_is_refused(run_narsfast, asked, tmp_path):
    code, _, err = run_narsfast("pareto", "somewhere", "--out", tmp_path / "front.png")
    assert code == 1
    assert "should end in .json or .csv" in err
    assert not asked
