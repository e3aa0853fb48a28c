"""A trial of several processes, as torchrun starts them."""

import dataclasses
import os
import pickle
import signal
import socket
import subprocess
import time

import pytest
import torch
from safetensors.torch import load_file

from narsfast.arch import NetworkSpec
from narsfast.common.trial import Trial
from narsfast.errors import MachineError, UserError
from narsfast.training import TrainerSettings, TrialTask, _rank, run_trial
from narsfast.training._processes import _answer, exit_with


@pytest.fixture
def task(small, tmp_path):
    return TrialTask(
        candidate="0123456789abcdef",
        network=NetworkSpec.of(small),
        recipe={"batch_size": 128, "learning_rate": 1e-3},
        data="digits",
        epochs=2,
        schedule_epochs=2,
        seed=3,
        settings=TrainerSettings(processes_per_trial=2, device="cpu"),
        output=str(tmp_path / "two"),
    )


@pytest.mark.slow
def test_two_processes_give_the_trial_of_one(task, tmp_path):
    shares = []
    two = run_trial(task, shares.append)
    assert (two.outcome, two.message, two.candidate) == ("ok", "", task.candidate)
    assert {file.name for file in (tmp_path / "two").iterdir()} == {"checkpoint.pt", "weights.safetensors"}
    assert shares == sorted(shares)
    alone = dataclasses.replace(task, settings=TrainerSettings(device="cpu"), output=str(tmp_path / "one"))
    one = run_trial(alone)
    assert two.curve == pytest.approx(one.curve, abs=0.6)  # two images of 359
    weights = [load_file(tmp_path / name / "weights.safetensors") for name in ("one", "two")]
    for name, tensor in weights[0].items():
        assert tensor.float().sub(weights[1][name]).abs().max() < 2e-3, name


FAILED = Trial("a", (), "failed", 2, 1.0, "why")


@pytest.mark.parametrize("said", [UserError("correct this"), FAILED])
def test_failed_process_says_why_and_exits(task, tmp_path, monkeypatch, said):
    """In a group of one, as torchrun starts it."""

    def fail(*_):
        if isinstance(said, UserError):
            raise said
        return said

    class EndedError(Exception):
        pass

    def end(code):
        raise EndedError(code)

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    names = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(_rank, "run_trial", fail)
    monkeypatch.setattr(_rank, "exit_with", lambda _: None)
    monkeypatch.setattr("os._exit", end)
    (tmp_path / "task").write_bytes(pickle.dumps((os.getpid(), task)))
    with pytest.raises(EndedError, match="1"):
        _rank.main(str(tmp_path))
    assert not torch.distributed.is_initialized()
    answer = pickle.loads((tmp_path / "answer-0").read_bytes())
    assert (type(answer), str(answer)) == (type(said), str(said))


@pytest.mark.slow
def test_exception_in_the_report_ends_the_processes(task, tmp_path, monkeypatch):
    class TooLateError(Exception):
        pass

    started = []

    class Noted(subprocess.Popen):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Noted)
    checkpoint = tmp_path / "two" / "checkpoint.pt"

    def report(share):
        if checkpoint.exists():  # the training has started
            raise TooLateError

    with pytest.raises(TooLateError):
        run_trial(dataclasses.replace(task, epochs=500, schedule_epochs=500), report)
    # torchrun has been ended and waited for: its processes would soon fail without their folder, too.
    assert [process.returncode is not None for process in started] == [True]
    written = checkpoint.stat().st_mtime_ns
    time.sleep(0.5)
    assert checkpoint.stat().st_mtime_ns == written


@pytest.mark.slow
def test_killed_worker_takes_its_processes_with_it(task, tmp_path):
    checkpoint = tmp_path / "two" / "checkpoint.pt"
    long = dataclasses.replace(task, epochs=2000, schedule_epochs=2000)
    driver = os.fork()
    if driver == 0:
        try:
            run_trial(long)
        finally:
            os._exit(1)
    try:
        while not checkpoint.exists():
            assert os.waitpid(driver, os.WNOHANG) == (0, 0)
            time.sleep(0.1)
    finally:
        os.kill(driver, signal.SIGKILL)
        os.waitpid(driver, 0)
    written = -1
    for _ in range(8):  # an epoch takes far less than a second and a half
        time.sleep(1.5)
        before, written = written, checkpoint.stat().st_mtime_ns
        if before == written:
            return
    pytest.fail("a process is still training")


def test_lack_of_memory_in_one_process_is_the_outcome():
    failed = Trial("a", (), "failed", 2, 1.0, "Connection closed by peer")
    memory = Trial("a", (), "out_of_memory", 2, 1.0, "OutOfMemoryError")
    assert _answer([failed, memory], 2, "") == memory
    assert _answer([failed, failed], 2, "") == failed
    assert _answer([failed], 2, "") == failed
    with pytest.raises(UserError, match="correct this"):
        _answer([failed, UserError("correct this")], 2, "")


def test_trouble_in_one_process_is_no_outcome_unless_another_one_caused_it():
    ok = Trial("a", (1.0, 2.0), "ok", 2, 1.0)
    trouble = MachineError("a process was lost (Connection closed by peer)", "wait")
    assert _answer([trouble, FAILED], 2, "") == FAILED
    for answers in ([trouble], [ok, trouble], [trouble, trouble]):
        with pytest.raises(MachineError, match="Connection closed"):
            _answer(answers, 2, "")
    for answers in ([], [ok]):
        with pytest.raises(
            MachineError, match=rf"{2 - len(answers)} of 2 processes ended without .*last words"
        ):
            _answer(answers, 2, "last words")


def test_process_exits_with_its_driver():
    """A child is told to work for a process that is gone."""
    gone = os.fork()
    if gone == 0:
        os._exit(0)
    os.waitpid(gone, 0)
    child = os.fork()
    if child == 0:
        exit_with(gone)
        time.sleep(30)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 1
