import errno
import pickle
import sqlite3
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from narsfast.common.machine import machine_error, machine_errors, persistently
from narsfast.errors import MachineError, UserError


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "/run/a"),
            "the disk is full (/run/a: No space left",
        ),
        (
            OSError(errno.EDQUOT, "Disk quota exceeded"),
            "the disk is full (Disk quota exceeded); make room on it",
        ),
        (sqlite3.OperationalError("database or disk is full"), "the disk is full (OperationalError:"),
        (sqlite3.OperationalError("disk I/O error"), "a file cannot be reached (OperationalError: disk I/O"),
        (SafetensorError("Error while serializing: I/O error: No space left on device"), "the disk is full"),
        (
            OSError(errno.EIO, "Input/output error", b"/data/a"),
            "a file cannot be reached (/data/a: Input/output",
        ),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/data/b"), "a file cannot be reached"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/run"),
            "a file cannot be used (/run: Permission",
        ),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "the machine is out of memory"),
        (
            MemoryError(),
            "the machine is out of memory (MemoryError); end other programs, or use fewer `workers`",
        ),
        (RuntimeError("std::bad_alloc"), "the machine is out of memory"),
        (RuntimeError("can't start new thread"), "a limit of the system is reached"),
        (OSError(errno.EMFILE, "Too many open files"), "a limit of the system is reached"),
        (BrokenProcessPool("a process died"), "a process was lost"),
        (RuntimeError("NCCL error in: ProcessGroupNCCL.cpp"), "the GPU or its driver failed"),
    ],
)
def test_what_is_about_the_machine(error, said):
    found = machine_error(error)
    assert str(found).startswith(said)
    assert str(found).endswith(", then give the same command again")
    assert machine_error(found) is found
    assert str(pickle.loads(pickle.dumps(found))) == str(found)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"),
        ValueError("no space left on device"),
        UserError("the disk is full of mistakes"),
        sqlite3.IntegrityError("CHECK constraint failed"),
        RuntimeError("can't allocate memory: you tried to allocate 4611686018427387904 bytes"),
        KeyboardInterrupt(),
    ],
)
def test_what_is_not(error):
    assert machine_error(error) is None


@pytest.mark.parametrize("take", [lambda: np.empty(2**60, np.int8), lambda: torch.empty(2**36)])
def test_actual_lack_of_memory(take, monkeypatch):
    monkeypatch.setattr("narsfast.common.machine._beyond_the_machine", lambda text: False)
    with pytest.raises(MachineError, match="out of memory"), machine_errors():
        take()


def test_other_errors_pass_as_they_are():
    for error in (UserError("no"), ZeroDivisionError()):
        with pytest.raises(type(error)) as raised, machine_errors():
            raise error
        assert raised.value is error


def failing(times, error):
    """Return a function that raises so many times and then counts its calls."""
    calls = []

    def call():
        calls.append(1)
        if len(calls) <= times:
            raise error
        return len(calls)

    return call


FULL = OSError(errno.ENOSPC, "No space left on device")


def test_it_is_tried_again_after_growing_pauses(monkeypatch, caplog):
    waited = []
    monkeypatch.setattr("narsfast.common.machine.RETRY_DELAYS", (1.0, 5.0))
    monkeypatch.setattr("time.sleep", waited.append)
    assert persistently(failing(2, FULL), "writing it") == 3
    assert waited == [1.0, 5.0]
    assert "writing it: the disk is full (No space left on device); it is tried again in 5 s" in caplog.text
    with pytest.raises(MachineError, match="the disk is full"):
        persistently(failing(3, FULL), "writing it")
    assert len(waited) == 4


def test_what_waiting_does_not_mend_is_raised_at_once():
    for error, raised in ((PermissionError(errno.EACCES, "no"), MachineError), (KeyError("a"), KeyError)):
        with pytest.raises(raised):
            persistently(failing(1, error), "it")
