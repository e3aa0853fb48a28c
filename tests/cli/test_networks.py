import json

import pytest

from narsfast import pipeline
from narsfast.cli._options import TRAINER_OPTIONS
from narsfast.common.trial import Trial
from narsfast.runs import RunStore
from narsfast.training import TrainerSettings

FACTORY = """
from torch import nn


def small(num_classes, in_chans):
    return nn.Sequential(nn.Conv2d(in_chans, 8, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, num_classes))
"""


@pytest.fixture
def single(tmp_path):
    """Options of a training of one network."""
    (tmp_path / "nets.py").write_text(FACTORY)
    (tmp_path / "recipe.yaml").write_text("learning_rate: 0.02\n")
    return {
        "--model": f"{tmp_path / 'nets.py'}:small",
        "--recipe": tmp_path / "recipe.yaml",
        "--out": tmp_path / "out",
    }


def flat(options):
    return [part for pair in options.items() for part in pair]


def test_every_setting_of_trainings_is_an_option():
    assert set(TRAINER_OPTIONS) == set(TrainerSettings.model_fields)


def test_a_recipe_trains_a_network(run_narsfast, single):
    further = ["--resolution", 16, "--epochs", 2, "--ops", "torch", "--seed", 3]
    code, out, _ = run_narsfast("train", *flat(single), *further, "--json")
    assert code == 0
    found = json.loads(out)
    assert (found["epochs"], found["seed"], found["resolution"], len(found["curve"])) == (2, 3, 16, 2)
    _, out, _ = run_narsfast("train", *flat(single), *further)
    assert f"{found['test']:.2f}" in out


def test_a_run_is_still_stage_4(run_narsfast, tmp_path, monkeypatch):
    RunStore.open(tmp_path / "run", {"seed": 0}).close()
    seen = []

    class Search:
        def __init__(self, *arguments):
            seen.append(arguments[:3])

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(pipeline, "open_search", Search)
    monkeypatch.setattr(pipeline, "train", lambda search: {"macs=1M": Trial("a" * 16, (50.0,), "ok", 1, 2.0)})
    code, out, _ = run_narsfast("train", tmp_path / "run", "--workers", 2)
    assert code == 0
    assert seen == [(tmp_path / "run", None, 2)]
    assert "macs=1M: validation 50.00 %" in out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"--model": None}, "--model is missing; give a run, or --model, --recipe and --out"),
        ({"--recipe": None}, "--recipe is missing"),
        ({"--out": None}, "--out is missing"),
        ({"--workers": 2}, "--workers goes with a run"),
    ],
)
def test_what_is_missing_is_named(run_narsfast, single, change, said):
    options = {name: value for name, value in {**single, **change}.items() if value is not None}
    code, _, err = run_narsfast("train", *flat(options))
    assert code == 1
    assert said in err


@pytest.mark.parametrize("option", [["--model", "b"], ["--epochs", 3], ["--ops", "torch"]])
def test_a_run_takes_no_options_of_one_network(run_narsfast, tmp_path, option):
    code, _, err = run_narsfast("train", tmp_path / "run", *option)
    assert code == 1
    assert f"{option[0]} is for a training of one network" in err


def test_scale(run_narsfast, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = run_narsfast("scale", "a", "--macs", "2x", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["ratio"] == pytest.approx(2, rel=0.02)
    assert (tmp_path / found["dir"] / "definition.json").exists()
    code, out, _ = run_narsfast("scale", "a", "--macs", "2x")
    assert f"{found['after']['macs']:,}" in out
    assert run_narsfast("scale", "a", "--macs", "two")[0] == 1


def test_a_run_of_one_model_has_a_directory_of_its_own(run_narsfast, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen = {}

    def run(out, options, workers, progress):
        seen.update(out=out, options=options)
        RunStore.open(out, {}).close()
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "run", run)
    run_narsfast("run", "--model", "torchvision:resnet18")
    assert str(seen["out"]) == "runs/digits-resnet18"
    assert seen["options"] == {"model": "torchvision:resnet18"}
    run_narsfast("run", "--model", "some/where/own.json")
    assert str(seen["out"]) == "runs/digits-own"


@pytest.fixture
def run_narsfast(capsys):
    """Run the command in this process: exit code, stdout, stderr."""
    import sys

    from narsfast import cli

    def run(*arguments):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["narsfast", *map(str, arguments)])
            with pytest.raises(SystemExit) as exit_:
                cli.main()
        captured = capsys.readouterr()
        return exit_.value.code or 0, captured.out, captured.err

    return run
