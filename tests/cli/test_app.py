import json
import subprocess
import sys
from pathlib import Path

import pytest

from narsfast import cli, pipeline
from narsfast.runs import PickedCandidate, Result, RunStore

STAGES = ["pretrain", "optimize", "evolve", "train", "emit"]
COMMANDS = [
    "run",
    "resume",
    "status",
    "best",
    "report",
    "zoo",
    "space",
    *STAGES,
    "export",
    "latency",
    "pareto",
    "scale",
    "doctor",
]


def narsfast(capsys, *arguments):
    """Run the command in this process: exit code, stdout, stderr."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["narsfast", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
    captured = capsys.readouterr()
    return exit_.value.code or 0, captured.out, captured.err


@pytest.fixture
def stored(tmp_path):
    """A run with a batch and a result, without any training."""
    path = tmp_path / "run"
    with RunStore.open(path, {"seed": 0}) as run:
        run.facts.stage = "done"
        run.add_batch(0, 2, [PickedCandidate("a" * 16, (0, 1), {"resolution": 32}, {"ema": True})])
        run.add_result(Result("macs<=1M", "a" * 16, 900_000, 5_000, 90.5, 91.0, 92.25, "family/macs-1M"))
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(capsys, command):
    code, out, _ = narsfast(capsys, command, "--help")
    assert code == 0
    assert "Usage:" in out
    assert len(out) > 150


def test_the_list_of_commands_is_complete(capsys):
    _, out, _ = narsfast(capsys, "--help")
    assert set(COMMANDS) == {
        line.split()[0] for line in out.split("Commands:")[1].splitlines() if line.strip()
    }


def test_zoo_as_json(capsys):
    code, out, _ = narsfast(capsys, "zoo", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert code == 0
    assert list(rows) == [f"FBNetV3_{name}" for name in ("A0", "A", "B", "C", "D", "E", "F", "G")]
    assert rows["FBNetV3_G"] == {
        "name": "FBNetV3_G",
        "resolution": 320,
        "conv_macs": 2_125_187_200,
        "flops_published": 2_129_656_384,
        "params_all": 16_623_888,
        "params_published": 16_513_648,
    }
    assert "2,125,187,200" in narsfast(capsys, "zoo")[1]


def test_space(capsys):
    _, out, _ = narsfast(capsys, "space", "tiny", "--json")
    whole = json.loads(out)
    _, out, _ = narsfast(capsys, "space", "tiny", "--fix", "optimizer=sgd", "--json")
    assert json.loads(out)["size"] * 2 == whole["size"]
    assert str(whole["size"]) in narsfast(capsys, "space", "tiny")[1]
    _, out, _ = narsfast(
        capsys, "space", "tiny", "--recipe-space", "extended", "--fix", "cutmix=0.5", "--json"
    )
    wide = json.loads(out)["space"]["recipe"]
    assert wide["optimizer"] == {"choices": ["rmsprop", "sgd", "adamw"]}
    assert wide["cutmix"] == 0.5


def test_best(capsys, stored):
    code, out, _ = narsfast(capsys, "best", stored, "--json")
    assert code == 0
    assert json.loads(out) == {
        "results": [
            {
                "budget": "macs<=1M",
                "macs": 900_000,
                "params": 5_000,
                "predicted": 90.5,
                "measured": 92.25,
                "dir": str(stored / "family/macs-1M"),
            }
        ]
    }
    assert "92.25" in narsfast(capsys, "best", stored)[1]


def test_best_of_a_run_without_results(capsys, tmp_path):
    RunStore.open(tmp_path / "run", {"seed": 0}).close()
    code, _, err = narsfast(capsys, "best", tmp_path / "run")
    assert code == 1
    assert "has no result yet" in err


def test_status(capsys, stored):
    code, out, _ = narsfast(capsys, "status", stored, "--json")
    state = json.loads(out)
    assert code == 0
    assert (state["stage"], state["batches"][0]["expected"], state["results"]) == ("done", 1, 1)
    assert "stage: done" in narsfast(capsys, "status", stored)[1]


def test_export(capsys, stored, tmp_path):
    code, _, _ = narsfast(capsys, "export", stored, tmp_path / "copy.db")
    assert code == 0
    assert (tmp_path / "copy.db").stat().st_size > 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--fix", "resolution"], "'resolution' is not FIELD=VALUE"),
        (["run", "--space", "huge"], "huge"),
        (["run", "--budget", "flops=3M"], "statistic 'flops' is unknown"),
        (["run", "--fix", "ema=maybe"], "maybe"),
        (["run", "--data", "nowhere"], "nowhere"),
        (["run", "--trials-per-batch", "0"], "trials_per_batch is 0; it must be greater than or equal to 2"),
        (["run", "--correlation", "pearson"], "correlation is 'pearson'; it must be 'spearman' or 'kendall'"),
        (["resume", "nowhere"], "nowhere"),
        (["space", "nothing.yaml"], "nothing.yaml"),
        (["run", "--recipe-space", "wide"], "recipe_space is 'wide'"),
    ],
)
def test_a_mistake_gets_one_sentence(capsys, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    code, _, err = narsfast(capsys, *arguments)
    assert code == 1
    assert said in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1


def test_an_unknown_option_is_exit_code_2(capsys):
    assert narsfast(capsys, "run", "--nonsense")[0] == 2


def test_options_reach_the_pipeline_in_its_names(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen = {}

    def run(out, options, workers, progress):
        seen.update(out=out, options=options, workers=workers)
        RunStore.open(out, {}).close()
        progress("stage", 1, 2)
        return [Result("macs<=1M", "a" * 16, 1, 2, 3.0, 4.0, 5.0, "family/x")]

    monkeypatch.setattr(pipeline, "run", run)
    arguments = [
        "--budget",
        "macs=1M",
        "--budget",
        "macs=2M,params=1M",
        "--pool",
        "macs=1M:3M",
        "--seed",
        "4",
    ]
    arguments += ["--fix", "ema=true", "--fix", "optimizer=sgd", "--no-mirror", "--workers", "2"]
    code, out, err = narsfast(capsys, "run", "--data", tmp_path / "photos", *arguments)
    assert code == 0
    assert seen["out"] == Path("runs/photos")
    assert seen["workers"] == 2
    assert seen["options"] == {
        "data": str(tmp_path / "photos"),
        "budgets": ["macs=1M", "macs=2M,params=1M"],
        "pool_bounds": "macs=1M:3M",
        "seed": 4,
        "fix": {"ema": True, "optimizer": "sgd"},
        "mirror": False,
    }
    assert "5.00" in out
    assert "stage: 50%" in err


def test_ctrl_c_says_how_to_go_on(capsys, monkeypatch, tmp_path):
    def run(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "run", run)
    code, _, err = narsfast(capsys, "run", "--out", tmp_path / "run")
    assert code == 130
    assert "goes on from here" in err


def test_import_is_light(tmp_path):
    code = "import sys, narsfast, narsfast.cli; print('torch' in sys.modules, 'plotly' in sys.modules)"
    environment = {"PYTHONPATH": ":".join(filter(None, sys.path))}
    out = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stdout == "False False\n"


def test_status_in_sentences(capsys, stored):
    with RunStore.open(stored, None) as run:
        run.facts.early_stop_epoch = 2
        run.started("a" * 16, "search", 2)
    _, out, _ = narsfast(capsys, "status", stored)
    assert "batch 1: 0 of 1 trials, 2 epochs each" in out
    assert "early-stop epoch: 2" in out
    assert f"in flight: {'a' * 16} (search, 2 epochs) for 0.0 min" in out
    assert "the run stands still" in out


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
def test_the_check_of_the_onnx_file_is_in_the_table(capsys, stored, check, said):
    folder = stored / "family/macs-1M"
    folder.mkdir(parents=True)
    (folder / "emission.json").write_text(json.dumps({"onnx": check}))
    with pytest.MonkeyPatch.context() as patch:
        tables = []
        patch.setattr("narsfast.cli._results.print_table", lambda title, rows: tables.append(rows))
        narsfast(capsys, "best", stored)
    assert tables[0][0]["ONNX"] == said


@pytest.mark.parametrize("command", ["report", "export"])
def test_a_file_that_cannot_be_written_is_named(capsys, stored, command):
    target = "/proc/nowhere/file"
    arguments = [stored, "--out", target] if command == "report" else [stored, target]
    code, _, err = narsfast(capsys, command, *arguments)
    assert code == 1
    assert f"{target} cannot be written" in err
    assert "Traceback" not in err
