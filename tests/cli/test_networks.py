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


@pytest.mark.parametrize("missing", ["--model", "--recipe", "--out"])
def test_train_model_names_a_missing_option(run_narsfast, single, missing):
    del single[missing]
    code, _, err = run_narsfast("train-model", *flat(single))
    assert code == 2
    assert f"Missing option '{missing}'" in err


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
