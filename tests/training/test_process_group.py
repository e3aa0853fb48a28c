"""Two processes that share a training against one process with the whole batch."""

import pickle

import pytest
import torch

from .rank_jobs import JOBS, job

PROCESSES = 2
SECONDS = 60


@pytest.fixture(scope="module")
def found(tmp_path_factory, run_ranks, small, few_digits):
    """Provide what each process found, by its rank."""
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "inputs").write_bytes(pickle.dumps((small, few_digits)))
    run_ranks("training.rank_jobs", folder, PROCESSES, SECONDS)
    return [pickle.loads((folder / f"{rank}.pickle").read_bytes()) for rank in range(PROCESSES)]


TOLERANCES = {"half precision": {"rtol": 0.05, "atol": 0.02}}
"""bfloat16 has eight bits."""


@pytest.mark.parametrize("name", sorted(JOBS.keys() - {"diverging"}))
def test_two_processes_train_like_one_with_the_whole_batch(name, found, small, few_digits):
    whole = job(name, small, few_digits)
    tolerance = TOLERANCES.get(name, {"rtol": 1e-3, "atol": 1e-4})
    for rank in found:
        assert rank[name]["modules"] == whole["modules"]
        assert rank[name]["losses"] == pytest.approx(whole["losses"], rel=max(1e-4, tolerance["rtol"] / 10))
        for key, tensor in whole["state"].items():
            torch.testing.assert_close(
                rank[name]["state"][key], tensor, **tolerance, msg=lambda text, key=key: f"{key}: {text}"
            )
        if name not in TOLERANCES:
            torch.testing.assert_close(rank[name]["logits"], whole["logits"], rtol=1e-3, atol=1e-3)
            assert rank[name]["curve"] == pytest.approx(whole["curve"], abs=1.3)  # one image of 80
            measured = [metrics.cross_entropy for metrics in (rank[name]["metrics"], whole["metrics"])]
            assert measured[0] == pytest.approx(measured[1], rel=1e-3)


def test_processes_have_identical_weights(found):
    for name in JOBS:
        first, second = (rank[name] for rank in found)
        assert first["losses"] == second["losses"]
        assert first["curve"] == second["curve"]
        assert first["metrics"] == second["metrics"]
        if "state" in first:
            assert all(first["state"][key].equal(tensor) for key, tensor in second["state"].items())


def test_each_process_evaluates_its_part(found, few_digits):
    first, second = (rank["sgd"] for rank in found)
    logits = torch.cat([first["share"][0], second["share"][0]])
    assert len(first["share"][0]) == 40
    torch.testing.assert_close(logits, first["logits"])
    correct = 100 * (logits.argmax(1).numpy() == few_digits.test.labels).mean()
    assert first["share"][1] == second["share"][1] == correct


def test_processes_diverge_together(found):
    assert [rank["diverging"]["outcome"] for rank in found] == ["diverged"] * PROCESSES


def test_resumed_training_equals_an_uninterrupted_one_bit_for_bit(found):
    for rank in found:
        (curve, losses, state), again = rank["interrupted"]["whole"], rank["interrupted"]["again"]
        assert (curve, losses) == again[:2]
        assert all(again[2][key].equal(tensor) for key, tensor in state.items())


def test_each_process_has_its_own_dropout(found):
    first, second = (rank["interrupted"]["generator"] for rank in found)
    assert not first.equal(second)


def test_batch_too_small_for_the_processes_is_refused(found):
    for rank in found:
        assert rank["refused"] == "batch_size is 3; 2 processes need at least 4, start fewer"
