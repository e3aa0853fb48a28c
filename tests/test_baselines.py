import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from narsfast import baselines, cli, pipeline
from narsfast.arch import create_model, load_weights
from narsfast.baselines import STANDARD_RECIPE, baseline_folder, baseline_resolution, baseline_task
from narsfast.errors import UserError
from narsfast.runs import Run

OPTIONS = {
    "space": str(Path(__file__).parent / "small.yaml"),
    "pool_size": 64,
    "batch": 2,
    "iterations": 1,
    "epochs": 1,
    "final_epochs": 2,
    "members": 1,
    "seed": 5,
}
FACTORY = """
from torch import nn


def net(num_classes, in_chans):
    return nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(in_chans * 64, num_classes))


def broken(num_classes, in_chans):
    return nn.Sequential(nn.Flatten(), nn.Linear(7, num_classes))
"""


@pytest.fixture(scope="module")
def factory(tmp_path_factory):
    file = tmp_path_factory.mktemp("factory") / "net.py"
    file.write_text(FACTORY)
    return str(file)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, factory):
    """A run with one baseline."""
    path = tmp_path_factory.mktemp("runs") / "run"
    pipeline.run(path, {**OPTIONS, "baselines": [f"{factory}:net"]}, workers=1)
    return path


@pytest.fixture
def copy(finished, tmp_path):
    subprocess.run(["cp", "-r", finished, tmp_path / "run"], check=True)
    return tmp_path / "run"


def test_a_baseline_is_trained_counted_and_tested(finished, factory):
    with Run.read(finished) as run:
        (row,) = run.fact("baselines")
        (trial,) = run.trials("baseline")
        assert len(run.results()) == 2
    assert (row["model"], row["outcome"], row["resolution"], row["epochs"]) == (f"{factory}:net", "ok", 16, 2)
    assert (row["macs"], row["params"]) == (64 * 10, 64 * 10 + 10)
    assert (len(trial.curve), row["validation"]) == (2, trial.curve[-1])
    assert row["test"] > 50
    network = create_model(row["model"], 10, 1)
    load_weights(network, finished / row["directory"] / "weights.safetensors")
    assert network(torch.zeros(1, 1, 16, 16)).shape == (1, 10)


def test_all_are_trained_alike(finished, factory):
    with pipeline.open_search(finished, workers=1) as search:
        task = baseline_task(search, "torchvision:resnet18")
        assert task.recipe == STANDARD_RECIPE.model_dump(mode="json")
        assert (task.epochs, task.schedule_epochs, task.model_resolution) == (2, 2, 16)
        assert task.seed != baseline_task(search, f"{factory}:net").seed
        assert baseline_folder("a:b") != baseline_folder("a b")
        families = search.run.fact("families")
        families[0]["candidates"][0]["architecture"]["resolution"] = 999
        assert baseline_resolution(search) == 16  # once fixed it stays


def test_the_resolution_is_the_largest_of_the_best(copy):
    with pipeline.open_search(copy, workers=1) as search:
        families = search.run.fact("families")
        families[0]["candidates"][0]["architecture"]["resolution"] = 24
        families[1]["candidates"][1]["architecture"]["resolution"] = 48  # not the best of its budget
        search.run.put_fact("families", families)
        search.run.put_fact("baseline_resolution", None)
        assert baseline_resolution(search) == 24


def test_a_further_baseline_costs_its_own_training_alone(copy, factory, monkeypatch):
    trained = []
    run_trials = pipeline.run_trials

    def recording(executor, function, tasks, **options):
        trained.extend(task.candidate for task in tasks)
        return run_trials(executor, function, tasks, **options)

    monkeypatch.setattr(pipeline, "run_trials", recording)
    before = pipeline.run(copy, workers=1)
    assert trained == []
    another = "torchvision:mobilenet_v3_small"
    assert pipeline.run(copy, {"baselines": [another, f"{factory}:net"]}, workers=1) == before
    assert trained == [another]
    monkeypatch.setattr(baselines, "evaluate", None)  # none is tested twice
    pipeline.run(copy, OPTIONS, workers=1)
    assert trained == [another]
    with Run.read(copy) as run:
        assert [row["model"] for row in run.fact("baselines")] == [f"{factory}:net", another]
        assert run.config["baselines"] == [f"{factory}:net", another]


def test_other_options_of_a_run_stay_fixed(copy):
    with pytest.raises(UserError, match=r"seed \(stored 5, given 6\); give"):
        pipeline.open_search(copy, {"baselines": ["torchvision:resnet18"], "seed": 6})
    with Run.read(copy) as run:
        assert len(run.config["baselines"]) == 1


def test_an_unknown_network_is_said_before_the_run_knows_it(copy):
    with pytest.raises(UserError, match="torchvision:resnet19 is not known"):
        pipeline.open_search(copy, {"baselines": ["torchvision:resnet19"]})
    pipeline.open_search(copy).close()
    with Run.read(copy) as run:
        assert len(run.config["baselines"]) == 1


def narsfast(capsys, *arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["narsfast", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
    assert not end.value.code
    return capsys.readouterr().out


def test_a_baseline_that_cannot_be_trained_is_said_everywhere(copy, factory, capsys):
    out = narsfast(capsys, "run", "--out", copy, "--baseline", f"{factory}:broken", "--workers", 1)
    assert "failed: RuntimeError" in out.replace("\n", " ")
    found = json.loads(narsfast(capsys, "best", copy, "--json"))
    good, bad = found["baselines"]
    assert good["measured"] > 50
    assert (good["macs"], good["params"], good["outcome"]) == (640, 650, "ok")
    assert (bad["model"], bad["measured"], bad["outcome"]) == (f"{factory}:broken", None, "failed")
    assert len(found["results"]) == 2
    table = narsfast(capsys, "best", copy)
    assert f"{good['measured']:.2f}" in table
    page = (copy / "report.html").read_text()
    assert "net.py:broken, 16 px" in page
    assert "baselines, test" in page
