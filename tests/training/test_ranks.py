"""Two processes that share a training against one process with the whole batch."""

import pickle

import pytest
import torch

from .rank_member import JOBS, job

MEMBERS = 2
SECONDS = 60


@pytest.fixture(scope="module")
def found(tmp_path_factory, run_ranks, small, few_digits):
    """What each process found, by its rank."""
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "inputs").write_bytes(pickle.dumps((small, few_digits)))
    run_ranks("training.rank_member", folder, MEMBERS, SECONDS)
    return [pickle.loads((folder / f"{rank}.pickle").read_bytes()) for rank in range(MEMBERS)]


TOLERANCES = {"half precision": {"rtol": 0.05, "atol": 0.02}}
"""bfloat16 has eight bits."""


@pytest.mark.parametrize("name", sorted(JOBS.keys() - {"diverging"}))
def test_two_processes_are_one_with_the_whole_batch(name, found, small, few_digits):
    whole = job(name, small, few_digits)
    tolerance = TOLERANCES.get(name, {"rtol": 1e-3, "atol": 1e-4})
    for member in found:
        assert member[name]["modules"] == whole["modules"]
        assert member[name]["losses"] == pytest.approx(whole["losses"], rel=max(1e-4, tolerance["rtol"] / 10))
        for key, tensor in whole["state"].items():
            torch.testing.assert_close(
                member[name]["state"][key], tensor, **tolerance, msg=lambda text, key=key: f"{key}: {text}"
            )
        if name not in TOLERANCES:
            torch.testing.assert_close(member[name]["logits"], whole["logits"], rtol=1e-3, atol=1e-3)
            assert member[name]["curve"] == pytest.approx(whole["curve"], abs=1.3)  # one image of 80


def test_processes_have_the_same_weights_to_the_bit(found):
    for name in JOBS:
        first, second = (member[name] for member in found)
        assert first["losses"] == second["losses"]
        assert first["curve"] == second["curve"]
        if "state" in first:
            assert all(first["state"][key].equal(tensor) for key, tensor in second["state"].items())


def test_each_process_evaluates_its_part(found, few_digits):
    first, second = (member["sgd"] for member in found)
    logits = torch.cat([first["share"][0], second["share"][0]])
    assert len(first["share"][0]) == 40
    torch.testing.assert_close(logits, first["logits"])
    correct = 100 * (logits.argmax(1).numpy() == few_digits.test.labels).mean()
    assert first["share"][1] == second["share"][1] == correct


def test_they_diverge_together(found):
    assert [member["diverging"]["outcome"] for member in found] == ["diverged"] * MEMBERS


def test_going_on_is_bit_for_bit_never_having_stopped(found):
    for member in found:
        (curve, losses, state), again = member["interrupted"]["whole"], member["interrupted"]["again"]
        assert (curve, losses) == again[:2]
        assert all(again[2][key].equal(tensor) for key, tensor in state.items())


def test_each_process_drops_out_by_its_own_generator(found):
    first, second = (member["interrupted"]["generator"] for member in found)
    assert not first.equal(second)


def test_a_batch_too_small_for_the_processes(found):
    for member in found:
        assert member["refused"] == "batch_size is 3; 2 processes need at least 4, start fewer"
