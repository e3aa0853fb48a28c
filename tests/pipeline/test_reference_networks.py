import json
import subprocess

import pytest
import torch

from narsfast import pipeline
from narsfast.arch import create_model, load_weights
from narsfast.errors import UserError
from narsfast.pipeline import _trials
from narsfast.pipeline._reference_networks import (
    STANDARD_RECIPE,
    baseline_folder,
    baseline_resolution,
    baseline_task,
)
from narsfast.runs import RunStore

pytestmark = pytest.mark.usefixtures("always_few_steps")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, smallest, networks):
    """Run a search with one baseline."""
    path = tmp_path_factory.mktemp("runs") / "run"
    pipeline.run(path, {**smallest, "baselines": [f"{networks}:net"]}, workers=1)
    return path


@pytest.fixture
def copy(finished, tmp_path):
    subprocess.run(["cp", "-r", finished, tmp_path / "run"], check=True)
    return tmp_path / "run"


def test_a_baseline_is_trained_counted_and_tested(finished, networks):
    with RunStore.read(finished) as run:
        (row,) = run.facts.baselines
        (trial,) = run.trials("baseline")
        assert len(run.results()) == 2
    assert (row.model, row.outcome) == (f"{networks}:net", "ok")
    assert (row.resolution, row.epochs) == (16, 2)
    assert (row.macs, row.params) == (64 * 10, 64 * 10 + 10)
    assert (len(trial.curve), row.validation) == (2, trial.curve[-1])
    assert row.test > 30  # three times chance
    with RunStore.read(finished) as run:
        by_class = run.facts.class_results[row.model]
    assert sum(own.correct for own in by_class.classes) == round(row.test)  # of 100 images
    assert not any(pair.examples for pair in by_class.confusions)
    network = create_model(row.model, 10, 1)
    load_weights(network, finished / row.directory / "weights.safetensors")
    assert network(torch.zeros(1, 1, 16, 16)).shape == (1, 10)


def test_all_are_trained_alike(copy, networks):
    with pipeline.open_search(copy, workers=1) as search:
        task = baseline_task(search, "torchvision:resnet18")
        assert task.recipe == STANDARD_RECIPE.model_dump(mode="json")
        assert (task.epochs, task.schedule_epochs, task.network.resolution) == (2, 2, 16)
        assert task.seed != baseline_task(search, f"{networks}:net").seed
        assert baseline_folder("a:b") != baseline_folder("a b")
        families = search.store.facts.families
        families[0].candidates[0].architecture["resolution"] = 999
        search.store.facts.families = families
        assert baseline_resolution(search) == 16  # once fixed it stays


def test_the_resolution_is_the_largest_of_the_best(copy):
    with pipeline.open_search(copy, workers=1) as search:
        families = search.store.facts.families
        families[0].candidates[0].architecture["resolution"] = 24
        families[1].candidates[1].architecture["resolution"] = 48  # not the best of its budget
        search.store.facts.families = families
        search.store.facts.baseline_resolution = None
        assert baseline_resolution(search) == 24


def test_a_further_baseline_costs_its_own_training_alone(copy, networks, monkeypatch, smallest):
    trained = []
    run_trials = _trials.run_trials

    def recording(executor, function, tasks, **options):
        trained.extend(task.candidate for task in tasks)
        return run_trials(executor, function, tasks, **options)

    monkeypatch.setattr("narsfast.pipeline._trials.run_trials", recording)
    before = pipeline.run(copy, workers=1)
    assert trained == []
    another = "torchvision:mobilenet_v3_small"
    assert pipeline.run(copy, {"baselines": [another, f"{networks}:net"]}, workers=1) == before
    assert trained == [another]
    monkeypatch.setattr("narsfast.pipeline._final_test.evaluate", None)  # none is tested twice
    pipeline.run(copy, smallest, workers=1)
    assert trained == [another]
    with RunStore.read(copy) as run:
        assert [row.model for row in run.facts.baselines] == [f"{networks}:net", another]
        assert run.config["baselines"] == [f"{networks}:net", another]


def test_other_options_of_a_run_stay_fixed(copy):
    with pytest.raises(UserError, match=r"seed \(stored 5, given 6\); give"):
        pipeline.open_search(copy, {"baselines": ["torchvision:resnet18"], "seed": 6})
    with RunStore.read(copy) as run:
        assert len(run.config["baselines"]) == 1


def test_an_unknown_network_is_said_before_the_run_knows_it(copy):
    with pytest.raises(UserError, match="torchvision:resnet19 is not a known classifier"):
        pipeline.open_search(copy, {"baselines": ["torchvision:resnet19"]})
    pipeline.open_search(copy).close()
    with RunStore.read(copy) as run:
        assert len(run.config["baselines"]) == 1


def test_a_baseline_that_cannot_be_trained_is_said_everywhere(copy, networks, run_narsfast):
    _, out, _ = run_narsfast("run", "--out", copy, "--baseline", f"{networks}:broken", "--workers", 1)
    assert "failed: RuntimeError" in out.replace("\n", " ")
    found = json.loads(run_narsfast("best", copy, "--json")[1])
    good, bad = found["baselines"]
    assert good["test"] > 30  # three times chance
    assert (good["macs"], good["params"], good["outcome"]) == (640, 650, "ok")
    assert (bad["model"], bad["test"], bad["outcome"]) == (f"{networks}:broken", None, "failed")
    assert len(found["results"]) == 2
    _, table, _ = run_narsfast("best", copy)
    assert f"{good['test']:.2f}" in table
    page = (copy / "report.html").read_text()
    assert "networks.py:broken, 16 px" in page
    assert "baselines, test" in page
