"""Options of a run on the command line: made from the table, handed on by name."""

from pathlib import Path

import pytest
import typer

from narsfast import cli, pipeline
from narsfast.cli import _options
from narsfast.cli._options import flag
from narsfast.common.options import RUN_OPTIONS
from narsfast.errors import UserError
from narsfast.runs import Result, RunStore


@pytest.fixture(scope="module")
def parameters():
    """Parameters of ``narsfast run`` by their names."""
    command = typer.main.get_command(cli.app).commands["run"]
    return {parameter.name: parameter for parameter in command.params}


@pytest.mark.parametrize("option", RUN_OPTIONS.values(), ids=lambda option: option.name)
def test_run_has_every_option_with_its_description_and_default(parameters, option):
    parameter = parameters[option.name]
    assert parameter.opts[0] == flag(option.name)
    assert option.description in parameter.help
    assert parameter.rich_help_panel == option.panel
    assert parameter.default is None
    if option.type is bool:
        name = flag(option.name).removeprefix("--")
        assert parameter.help.endswith(f"[default: --{'' if option.default else 'no-'}{name}]")
    elif option.stated_default():
        assert parameter.help.endswith(f"[default: {option.stated_default()}]")
    else:
        assert "[default" not in parameter.help


def test_help_groups_options_in_panels(run_narsfast):
    _, out, _ = run_narsfast("run", "--help")
    panels = list(dict.fromkeys(option.panel for option in RUN_OPTIONS.values()))
    places = [out.index(f"─ {panel} ─") for panel in ["Options", *panels]]
    assert places == sorted(places)
    assert "spearman|kendall" in out
    assert "[x>=2]" in out


def test_options_reach_the_pipeline_in_its_names(run_narsfast, tmp_path, monkeypatch):
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
        "0",
    ]
    arguments += ["--fix", "ema=true", "--fix", "optimizer=sgd", "--no-mirror", "--workers", "2"]
    code, out, err = run_narsfast("run", "--data", tmp_path / "photos", *arguments)
    assert code == 0
    assert seen["out"] == Path("runs/photos")
    assert seen["workers"] == 2
    assert seen["options"] == {
        "data": str(tmp_path / "photos"),
        "budgets": ["macs=1M", "macs=2M,params=1M"],
        "pool_bounds": "macs=1M:3M",
        "seed": 0,
        "fix": {"ema": True, "optimizer": "sgd"},
        "mirror": False,
    }
    assert "5.00" in out
    assert "stage: 50%" in err


@pytest.mark.parametrize(
    ("options", "directory"),
    [
        ([], "runs/digits"),
        (["--model", "torchvision:resnet18"], "runs/digits-resnet18"),
        (["--model", "some/where/own.json"], "runs/digits-own"),
        (["--data", "some/photos/", "--model", "b"], "runs/photos-b"),
        (["--data", "some/photos.safetensors"], "runs/photos"),
    ],
)
def test_run_directory_is_named_after_data_and_model(run_narsfast, monkeypatch, options, directory):
    seen = []

    def run(out, *_, **__):
        seen.append(str(out))
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "run", run)
    run_narsfast("run", *options)
    assert seen == [directory]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("True", True),
        ("false", False),
        (".001", 0.001),
        ("1e-3", 1e-3),
        ("'sgd'", "sgd"),
        ("sgd", "sgd"),
        (" 64 ", 64),
        ("[" * 5000, "[" * 5000),
    ],
)
def test_fix_reads_values_as_json_and_as_python(text, value):
    (found,) = _options._assignments([f"ema={text}"]).values()
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["ema"], "fix: 'ema' is not FIELD=VALUE"),
        (["=3"], "fix: '=3' is not FIELD=VALUE"),
        (["ema="], "fix: 'ema=' is not FIELD=VALUE"),
        (["ema=true", "ema=false"], "fix: ema is given twice, as True and 'false'; give it once"),
    ],
)
def test_fix_refuses_what_it_cannot_read(texts, said):
    with pytest.raises(UserError, match=said):
        _options._assignments(texts)
