"""Which commands there are, and their help."""

import os
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import narsfast
from narsfast import cli

ROOT = Path(__file__).parents[2]
COMMANDS = {
    "run": ["--out", "--data", "--budget", "--workers"],
    "resume": ["--workers"],
    "status": ["--json"],
    "best": ["--json"],
    "report": ["--out"],
    "backup": [],
    "pareto": ["--statistic", "--between", "--out", "--json"],
    "pretrain": ["--out", "--data", "--budget", "--workers"],
    "optimize": ["--workers"],
    "evolve": ["--budget", "--json"],
    "train": ["--workers", "--json"],
    "emit": ["--json"],
    "train-model": ["--model", "--recipe", "--out", "--epochs", "--precision", "--json"],
    "scale": ["--macs", "--out", "--json"],
    "space": ["--recipe-space", "--fix", "--json"],
    "zoo": ["--json"],
    "doctor": ["--json"],
    "latency measure": ["--out", "--data", "--space", "--batch-size", "--json"],
}


def registered():
    """Every command by its words."""
    found = {}
    for name, command in typer.main.get_command(cli.app).commands.items():
        below = getattr(command, "commands", None)
        found |= {f"{name} {word}": inner for word, inner in below.items()} if below else {name: command}
    return found


def flags(command):
    return {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}


def output_of(code, folder, variables=None):
    """Run Python code in a fresh process in a folder; return what it printed."""
    environment = os.environ | {"PYTHONPATH": ":".join(filter(None, sys.path))} | (variables or {})
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def test_commands_have_the_options_named_here():
    commands = registered()
    assert commands.keys() == COMMANDS.keys()
    for name, options in COMMANDS.items():
        assert set(options) <= flags(commands[name])


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(run_narsfast, command):
    code, out, _ = run_narsfast(*command.split(), "--help")
    assert code == 0
    assert f"Usage: narsfast {command}" in out
    assert len(out) > 150


def test_version_is_shown(run_narsfast):
    assert run_narsfast("--version") == (0, f"narsfast {narsfast.__version__}\n", "")


def test_python_runs_the_package_as_the_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["narsfast", "--version"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("narsfast", run_name="__main__", alter_sys=True)
    assert end.value.code in (0, None)
    assert capsys.readouterr().out == f"narsfast {narsfast.__version__}\n"


@pytest.mark.parametrize(
    ("words", "suggested"),
    [(["evolv"], "'evolve'"), (["run", "--trial-per-batch", "3"], "--trials-per-batch")],
)
def test_typing_errors_get_a_suggestion(run_narsfast, words, suggested):
    code, _, err = run_narsfast(*words)
    assert code == 2
    assert suggested in err


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("narsfast opti", ["optimize"]),
        ("narsfast run --trial", ["--trials-per-batch", "--trial-timeout"]),
        ("narsfast run --precision b", ["bfloat16"]),
    ],
)
def test_shells_complete_commands_options_and_choices(tmp_path, typed, completed):
    words = shlex.split(typed)
    variables = {
        "_NARSFAST_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(words) - 1),
    }
    code = "import sys; sys.argv[0] = 'narsfast'; from narsfast.cli import main; main()"
    assert output_of(code, tmp_path, variables).split() == completed


def test_help_imports_neither_torch_nor_pydantic(tmp_path):
    code = (
        "import sys, typer; from narsfast import cli; typer.main.get_command(cli.app);"
        "print([name for name in ('torch', 'plotly', 'pydantic') if name in sys.modules])"
    )
    assert output_of(code, tmp_path) == "[]\n"
