"""Commands that look at a run."""

import json

import pytest

from narsfast.common.early_stopping import EarlyStopping
from narsfast.runs import BaselineResult, ClassCounts, ClassResults, Confusion, RunStore


def test_best_shows_results(run_narsfast, stored):
    code, out, _ = run_narsfast("best", stored, "--json")
    assert code == 0
    assert json.loads(out) == {
        "results": [
            {
                "budget": "macs<=1M",
                "macs": 900_000,
                "params": 5_000,
                "predicted": 90.5,
                "test": 92.25,
                "balanced_accuracy": None,
                "measured": 92.25,
                "dir": str(stored / "family/macs-1M"),
            }
        ]
    }
    assert "92.25" in run_narsfast("best", stored)[1]


def test_run_whose_name_is_not_utf_8_is_shown_and_reported(run_narsfast, stored):
    path = stored.rename(stored.with_name("caf\udce9"))
    (path / "family/macs-1M").mkdir(parents=True)
    (path / "family/macs-1M/README.md").touch()
    for words in (
        ["status"],
        ["best"],
        ["best", "--json"],
        ["report"],
        ["report", "--out", stored / "page.html"],
    ):
        code, out, err = run_narsfast(words[0], path, *words[1:])
        assert (code, err) == (0, "")
    assert r"caf\udce9" in out or out == f"{stored / 'page.html'}\n"
    assert r"<h1>caf\xe9</h1>" in (path / "report.html").read_text()
    assert 'href="../caf%E9/family/macs-1M/README.md"' in (stored / "page.html").read_text()


def test_best_shows_balanced_accuracies(run_narsfast, stored):
    counts = (ClassCounts("cat", 90, 90, 95), ClassCounts("dog", 10, 5, 5))
    baseline = BaselineResult("m", 32, 5, "ok", "", "baselines/m", 10, 20, 80.0, 81.0)
    with RunStore.open(stored, None) as run:
        run.facts.baselines = (baseline,)
        run.facts.class_results = {"a" * 16: ClassResults(counts, (Confusion(1, 0, 5),))}
    found = json.loads(run_narsfast("best", stored, "--json")[1])
    assert found["results"][0]["balanced_accuracy"] == 75
    assert found["baselines"][0]["balanced_accuracy"] is None
    assert "75.00" in run_narsfast("best", stored)[1]


def test_best_of_a_run_without_results_is_refused(run_narsfast, tmp_path):
    RunStore.open(tmp_path / "run", {"seed": 0}).close()
    code, _, err = run_narsfast("best", tmp_path / "run")
    assert code == 1
    assert "has no result yet" in err


def test_status_as_json_and_in_sentences(run_narsfast, stored):
    with RunStore.open(stored, None) as run:
        run.facts.early_stop_epoch = 2
        run.facts.early_stopping = EarlyStopping(2, "few_curves", 0.92, "kendall", 5)
        run.started("a" * 16, "search", 2)
    code, out, _ = run_narsfast("status", stored, "--json")
    state = json.loads(out)
    assert code == 0
    assert (state["stage"], state["batches"][0]["expected"], state["results"]) == ("done", 1, 1)
    assert state["early_stopping"]["reason"] == "few_curves"
    _, out, _ = run_narsfast("status", stored)
    assert "stage: done" in out
    assert "batch 1: 0 of 1 trials, 2 epochs each" in out
    assert "early-stop epoch: 2" in out
    assert "not stopped early: 5 trainings of the first batch reached the last epoch, too few" in out
    assert f"in flight: {'a' * 16} (search, 2 epochs) for 0.0 min" in out
    assert "process: none is working on the run" in out


def test_backup_copies_the_database(run_narsfast, stored, tmp_path):
    copy = tmp_path / "new" / "folder" / "copy.db"
    code, _, err = run_narsfast("backup", stored, copy)
    assert (code, err) == (0, "")
    assert copy.stat().st_size > 0
    code, _, err = run_narsfast("backup", stored, tmp_path)
    assert (code, err) == (
        1,
        f"narsfast: file: {tmp_path} cannot be written (it is a folder); name another file\n",
    )


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (
            {"status": "equal", "images": 30, "max_abs_difference": 1.5e-5},
            "equal on 30 (1.5e-05)",
        ),
        ({"status": "skipped", "reason": "onnx is not installed"}, "skipped: onnx is not installed"),
    ],
)
def test_best_shows_the_check_of_the_onnx_file(run_narsfast, monkeypatch, stored, check, said):
    folder = stored / "family/macs-1M"
    folder.mkdir(parents=True)
    (folder / "emission.json").write_text(json.dumps({"onnx": check}))
    tables = []
    monkeypatch.setattr("narsfast.cli._results.print_table", lambda title, rows: tables.append(rows))
    run_narsfast("best", stored)
    assert tables[0][0]["ONNX"] == said


@pytest.mark.parametrize("command", ["report", "backup"])
def test_file_that_cannot_be_written_is_named(run_narsfast, stored, command):
    target = "/proc/nowhere/file"
    arguments = [stored, "--out", target] if command == "report" else [stored, target]
    code, _, err = run_narsfast(command, *arguments)
    assert code == 1
    assert f"{target} cannot be written" in err
    assert "Traceback" not in err
