import json

import pytest

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


def in_one_line(err):
    """Return an error as typer shows it, without its box."""
    return " ".join(err.replace("│", " ").split())


def flat(options):
    return [part for pair in options.items() for part in pair]


def test_recipe_trains_a_network(run_narsfast, single):
    further = ["--resolution", 16, "--epochs", 2, "--ops", "torch", "--seed", 3]
    code, out, _ = run_narsfast("train-model", *flat(single), *further, "--json")
    assert code == 0
    found = json.loads(out)
    assert (found["epochs"], found["seed"], found["resolution"], len(found["curve"])) == (2, 3, 16, 2)
    assert found["settings"]["ops"] == "torch"
    _, out, _ = run_narsfast("train-model", *flat(single), *further)
    assert f"{found['test']:.2f}" in out


def test_train_model_names_a_missing_option(run_narsfast, single):
    for missing in ("--model", "--recipe"):
        given = {name: value for name, value in single.items() if name != missing}
        code, _, err = run_narsfast("train-model", *flat(given))
        assert code == 2
        assert "Usage: narsfast train-model [OPTIONS]" in err
        assert f"Invalid value for '{missing}': it is missing; name a" in in_one_line(err)
    del single["--out"]
    code, _, err = run_narsfast("train-model", *flat(single))
    assert code == 2
    assert "Missing option '--out'" in err


def test_train_model_starts_from_a_found_network(run_narsfast, single, monkeypatch, tmp_path):
    asked = []

    def fine_tune(folder, out, recipe, **options):
        asked.append((folder, out, recipe, options["data"], options["epochs"], options["settings"]))
        return {"test": 90.0}

    monkeypatch.setattr("narsfast.pipeline.fine_tune", fine_tune)
    start = {"--from": tmp_path / "found", "--out": tmp_path / "out", "--data": "digits", "--epochs": 3}
    code, out, _ = run_narsfast("train-model", *flat(start), "--threads-per-trial", 2, "--json")
    assert (code, json.loads(out)) == (0, {"test": 90.0})
    own = {"threads_per_trial": 2}
    assert asked == [(tmp_path / "found", tmp_path / "out", None, "digits", 3, own)]
    run_narsfast("train-model", *flat(start), "--recipe", single["--recipe"], "--json")
    assert asked[1][2] == single["--recipe"]
    code, _, err = run_narsfast("train-model", *flat(start), "--model", "a")
    assert code == 2
    assert "Invalid value for '--from': it is given with --model; leave one of them out" in in_one_line(err)


def test_train_model_starts_from_a_parent(run_narsfast, single, monkeypatch, tmp_path):
    asked = []

    def train_with_recipe(model, recipe, out, **options):
        asked.append((model, recipe, out, options["parent"], options["resolution"]))
        return {"test": 90.0}

    monkeypatch.setattr("narsfast.pipeline.train_with_recipe", train_with_recipe)
    start = {"--parent": "efficientnet_lite0", "--out": tmp_path / "out", "--resolution": 96}
    code, out, _ = run_narsfast("train-model", *flat(start), "--json")
    assert (code, json.loads(out)) == (0, {"test": 90.0})
    child = {"--model": "child.json", "--recipe": single["--recipe"]}
    run_narsfast("train-model", *flat(start | child), "--json")
    assert asked == [
        (None, None, tmp_path / "out", "efficientnet_lite0", 96),
        ("child.json", single["--recipe"], tmp_path / "out", "efficientnet_lite0", 96),
    ]
    code, _, err = run_narsfast("train-model", *flat(start | {"--from": "found"}))
    assert code == 2
    assert "Invalid value for '--from': it is given with --parent; leave one of them out" in in_one_line(err)


def test_train_model_names_the_flag_of_a_wrong_start(run_narsfast, tmp_path):
    (tmp_path / "definition.json").touch()
    code, _, err = run_narsfast("train-model", "--from", tmp_path / "nothing", "--out", tmp_path / "out")
    assert code == 1
    assert "is not a folder" in err


def test_train_model_names_the_flag_of_a_wrong_value(run_narsfast, single):
    code, _, err = run_narsfast("train-model", *flat(single), "--resolution", 0)
    assert code == 1
    assert err.startswith("narsfast: --resolution is 0;")


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
