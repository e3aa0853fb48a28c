"""Names of version 0.1 work, with one line of warning each."""

import pytest
import typer

from narsfast import cli, pipeline
from narsfast.cli import _renamed
from narsfast.common.options import RUN_OPTIONS
from narsfast.common.renamed import OLD_FIELDS


def warning(old, new):
    return f"narsfast: {old} is now called {new}; the old name works in version 0.2 only\n"


@pytest.fixture
def asked(monkeypatch):
    """Record the options with which a run was asked for."""
    seen = []

    def run(out, options, workers, progress):
        seen.append(options)
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "run", run)
    return seen


def test_old_options_mean_the_present_ones(run_narsfast, asked):
    _, _, err = run_narsfast("run", "--batch", 3, "--members=2", "--distil", "none", "--distil-weight", 0.5)
    assert asked == [{"trials_per_batch": 3, "ensemble_members": 2, "distill": "none", "distill_weight": 0.5}]
    for old, new in (
        ("--batch", "--trials-per-batch"),
        ("--members", "--ensemble-members"),
        ("--distil", "--distill"),
        ("--distil-weight", "--distill-weight"),
    ):
        assert err.count(warning(old, new)) == 1
    assert len(err.splitlines()) == 5


def test_present_options_give_no_warning(run_narsfast, asked):
    _, _, err = run_narsfast("run", "--trials-per-batch", 3)
    assert asked == [{"trials_per_batch": 3}]
    assert len(err.splitlines()) == 1


def test_old_batch_of_latency_is_the_batch_size(run_narsfast, monkeypatch, tmp_path):
    seen = {}

    def measure(options, **settings):
        seen.update(settings)
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "measure_latency", measure)
    _, _, err = run_narsfast("latency", "measure", "--batch", 4, "--out", tmp_path / "table.json")
    assert seen["batch"] == 4
    assert warning("--batch", "--batch-size") in err


def test_export_is_backup(run_narsfast, stored, tmp_path):
    code, _, err = run_narsfast("export", stored, tmp_path / "copy.db")
    assert (code, err) == (0, warning("export", "backup"))
    assert (tmp_path / "copy.db").stat().st_size > 0


def test_optimise_is_optimize(run_narsfast, tmp_path):
    code, _, err = run_narsfast("optimise", tmp_path / "nowhere")
    assert code == 1
    assert err.startswith(warning("optimise", "optimize"))


@pytest.mark.parametrize("model", [["--model", "b"], ["--model=b"]])
def test_train_with_a_model_is_train_model(run_narsfast, tmp_path, model):
    code, _, err = run_narsfast(
        "train", *model, "--recipe", tmp_path / "none.yaml", "--out", tmp_path / "out"
    )
    assert code == 1
    assert err.startswith(warning("train --model", "train-model"))
    assert "none.yaml" in err


def test_old_names_are_not_in_help(run_narsfast):
    assert not _renamed.OLD_COMMANDS.keys() & typer.main.get_command(cli.app).commands.keys()
    _, out, _ = run_narsfast("run", "--help")
    assert "--batch" not in out


def test_every_old_field_has_a_present_option():
    assert set(OLD_FIELDS.values()) <= RUN_OPTIONS.keys()
    assert not OLD_FIELDS.keys() & RUN_OPTIONS.keys()
