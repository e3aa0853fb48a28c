"""What version 0.1 left behind is opened and resumed: runs, predictors, emitted folders, definitions.

`tests/data/version_0_1.tar.xz` was written by narsfast 0.1.0: one run, of the space ``small.yaml`` with distillation by
its largest network, as it was when it was killed in its search (``killed``), when it was killed in a final training,
with a checkpoint (``finals_killed``), and when it had ended (``finished``).
"""

import json
import platform
import sys
import tarfile
from pathlib import Path

import pytest
import torch

import narsfast as nf
from narsfast import _native, cli, pipeline
from narsfast.cost import Counter
from narsfast.data import loader_version
from narsfast.predictor import load_predictor
from narsfast.runs import RunStore
from narsfast.space import Space

ARCHIVE = Path(__file__).parents[1] / "data" / "version_0_1.tar.xz"


@pytest.fixture
def old(tmp_path):
    """Unpack the three runs."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


@pytest.fixture
def as_here(old):
    """Tell whether the machine and torch of the old runs are these; where not, the runs are told that they are."""
    here = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "instruction_set": _native.isa(),
        "loader_version": loader_version("torchvision"),
    }
    same = True
    for name in ("killed", "finals_killed", "finished"):
        with RunStore.open(old / name, None) as store:
            versions = dict(store.facts.versions)
            assert versions["narsfast"] == "0.1.0"
            same &= all(versions[key] == value for key, value in here.items())
            store.facts.versions = versions | here
    return same


def results_of(path):
    with RunStore.read(path) as store:
        return store.results()


@pytest.mark.parametrize("name", ["killed", "finals_killed"])
def test_killed_run_is_resumed_to_the_same_end(old, as_here, name):
    with RunStore.read(old / name) as store:
        kept = {trial.candidate: trial for trial in store.trials("search")}
    assert kept
    if name == "finals_killed" and not as_here:
        for checkpoint in (old / name / "weights").glob("*/checkpoint.pt"):
            checkpoint.unlink()  # of another torch
    results = pipeline.run(old / name, workers=1)
    with RunStore.read(old / name) as store:
        trials = {trial.candidate: trial for trial in store.trials("search")}
        assert store.config["distill"] == "largest"
    assert len(trials) == 6
    assert {name: trials[name] for name in kept} == kept
    for trial in trials.values():
        assert len(trial.metrics.cross_entropy) == (0 if trial.candidate in kept else len(trial.curve))
    if as_here:
        assert results == results_of(old / "finished")


def test_checkpoint_is_continued(old, as_here, monkeypatch):
    """The final training that was under way goes on after the epoch of its checkpoint."""
    if not as_here:
        pytest.skip("the checkpoint is of another torch or machine")
    from narsfast.training import _loop

    epochs = []
    epoch = _loop.Loop.epoch

    def counting(loop, number):
        epochs.append(number)
        epoch(loop, number)

    monkeypatch.setattr(_loop.Loop, "epoch", counting)
    (checkpoint,) = (old / "finals_killed" / "weights").glob("*/checkpoint.pt")
    done = len(torch.load(checkpoint, weights_only=True)["state"]["curve"])
    pipeline.run(old / "finals_killed", workers=1)
    assert epochs[0] == done > 0


def test_finished_run_is_read_and_costs_nothing(old, as_here, monkeypatch, capsys):
    monkeypatch.setattr("narsfast.pipeline._trials.run_trials", None)
    run = nf.Run(old / "finished")
    assert [result.budget for result in run.results] == ["macs<=200K", "macs<=400K"]
    assert len(run.trials()) == 6
    assert len(run.trials("final")) == 2
    assert run.config.trials_per_batch == 3
    assert run.config.ensemble_members == 2
    best = run.best("macs=200K")
    assert best.test == run.results[0].test
    assert best.by_class is None
    assert pipeline.run(old / "finished", workers=1) == run.results
    for command in (["best", "--json"], ["status", "--json"], ["report"]):
        monkeypatch.setattr(sys, "argv", ["narsfast", command[0], str(old / "finished"), *command[1:]])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert not end.value.code
    assert "macs<=200K" in capsys.readouterr().out


def test_options_of_a_resumed_run_stay_those_of_version_0_1(old, as_here):
    with pytest.raises(nf.UserError, match=r"trials_per_batch \(stored 3, given 4\)"):
        pipeline.open_search(old / "killed", {"trials_per_batch": 4})


def test_predictor_is_loaded(old):
    with RunStore.read(old / "finished") as store:
        space = Space.from_dict(store.config["space"])
    predictor = load_predictor(old / "finished" / "predictor", space, Counter(space, 1, 10))
    mean, std = predictor.predict(space.sobol(10, seed=0))
    assert ((mean > 0) & (mean < 100)).all()
    assert (std > 0).all()


def test_emitted_folder_is_loaded_and_its_network_is_the_definition_s(old):
    folder = old / "finished" / "family" / "macs-200K"
    network = nf.load(folder)
    side = json.loads((folder / "preprocessing.json").read_text())["resolution"]
    assert network(torch.zeros(1, 1, side, side)).shape == (1, 10)
    again = nf.create_model(str(folder / "definition.json"), 10, 1)
    assert list(again.state_dict()) == list(network.state_dict())
    assert nf.load_transform(folder) is not None


def test_recipe_s_renamed_field_is_read():
    assert nf.Recipe.of({"colour": 0.4}).color == 0.4
    space = Space.from_dict(
        {
            "name": "old",
            "stages": 0,
            "architecture": {"resolution": 32},
            "recipe": {"colour": {"choices": [0.0, 0.4]}},
        }
    )
    assert nf.Recipe.of(space.decode(space.random(1, seed=0))[0].recipe).color in (0.0, 0.4)
