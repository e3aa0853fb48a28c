"""Weights that are lost before they were used are trained again, and nothing else is."""

import errno
import logging
import shutil

import pytest

from narsfast import pipeline
from narsfast.errors import MachineError
from narsfast.pipeline import _trials
from narsfast.pipeline._reference_networks import baseline_folder
from narsfast.runs import RunStore

pytestmark = pytest.mark.usefixtures("always_few_steps")


@pytest.fixture(scope="module")
def reference(networks):
    return f"{networks}:net"


@pytest.fixture(scope="module")
def finished(tmp_path_factory, smallest, reference):
    """Run a search whose largest network taught the other, beside a baseline."""
    path = tmp_path_factory.mktemp("runs") / "run"
    results = pipeline.run(path, {**smallest, "distill": "largest", "baselines": [reference]}, workers=1)
    assert len({result.candidate for result in results}) == 2
    return path, results


@pytest.fixture
def copy(finished, tmp_path):
    """Provide the run as it was before its networks were tested."""
    path = tmp_path / "run"
    shutil.copytree(finished[0], path)
    with RunStore.open(path, None) as run:
        with run._writing() as execute:
            execute("DELETE FROM results")
        run.facts.baselines = ()
        run.facts.stage = "emit"
    return path


@pytest.fixture
def trained(monkeypatch):
    """Record the candidates that are trained from now on, those of one call together."""
    rounds = []
    run_trials = _trials.run_trials

    def recording(executor, function, tasks, **options):
        rounds.append([task.candidate for task in tasks])
        return run_trials(executor, function, tasks, **options)

    monkeypatch.setattr("narsfast.pipeline._trials.run_trials", recording)
    return rounds


def by_size(results):
    return sorted(results, key=lambda result: result.macs)


def weights(path, candidate):
    return path / "weights" / candidate / "weights.safetensors"


def exchange(path, results):
    small, large = by_size(results)
    shutil.copy(weights(path, large.candidate), weights(path, small.candidate))


HARM = {
    "folder": lambda path, results: shutil.rmtree(weights(path, by_size(results)[0].candidate).parent),
    "file": lambda path, results: weights(path, by_size(results)[0].candidate).unlink(),
    "cut": lambda path, results: weights(path, by_size(results)[0].candidate).write_bytes(b"cut"),
    "another network's": exchange,
}


@pytest.mark.parametrize("kind", HARM)
def test_a_network_whose_weights_are_lost_is_trained_again(finished, copy, trained, caplog, kind):
    HARM[kind](copy, finished[1])
    lost = by_size(finished[1])[0].candidate
    with caplog.at_level(logging.WARNING):
        assert pipeline.run(copy, workers=1) == finished[1]
    assert trained == [[lost]]
    said = "do not fit the network" if kind == "another network's" else "cannot be read as a safetensors file"
    assert f"weights.safetensors' {said}" in caplog.text
    assert caplog.text.count(f"candidate {lost} is trained again") == 1


@pytest.mark.parametrize("command", [("emit",), ("resume", "--workers", 1)], ids=["emit", "resume"])
def test_the_command_says_so_and_ends_well(run_narsfast, finished, copy, command):
    shutil.rmtree(copy / "weights")
    code, _, err = run_narsfast(*command, copy)
    assert code == 0, err
    for result in finished[1]:
        assert f"candidate {result.candidate} is trained again" in err
    with RunStore.read(copy) as run:
        assert run.results() == finished[1]


def test_a_lost_teacher_is_trained_before_those_that_it_teaches(finished, copy, trained):
    small, large = by_size(finished[1])
    shutil.rmtree(copy / "weights")
    with RunStore.open(copy, None) as run, run._writing() as execute:
        execute("DELETE FROM trials WHERE purpose = 'final' AND candidate = ?", (small.candidate,))
    assert pipeline.run(copy, workers=1) == finished[1]
    assert trained == [[large.candidate], [small.candidate]]


def test_a_lost_baseline_is_trained_again(finished, copy, trained, reference):
    shutil.rmtree(copy / baseline_folder(reference))
    assert pipeline.run(copy, workers=1) == finished[1]
    assert trained == [[reference]]


def test_weights_that_are_needed_no_more_are_not_missed(finished, tmp_path, trained):
    shutil.copytree(finished[0], tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "weights")
    shutil.rmtree(tmp_path / "run" / "baselines")
    assert pipeline.run(tmp_path / "run", workers=1) == finished[1]
    assert trained == []


def test_a_disk_that_fails_costs_no_training(finished, copy, trained, monkeypatch):
    def failing(path):
        raise OSError(errno.EIO, "Input/output error", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("narsfast.arch._weights.load_file", failing)
        with pytest.raises(MachineError, match=r"weights.safetensors: Input/output error"):
            pipeline.run(copy, workers=1)
    assert pipeline.run(copy, workers=1) == finished[1]
    assert trained == []
