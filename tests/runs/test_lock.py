"""One driver a run, also where the disk has no locks."""

import errno
import fcntl
import os
import platform
import subprocess
import sys

import pytest

from narsfast.common import refusals
from narsfast.errors import UserError
from narsfast.runs import RunStore
from narsfast.runs._lock import LOCK_FILE, DriverLock, driver_of


@pytest.fixture(params=[errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def without_locks(request, monkeypatch):
    refusals.tell_refusal.cache_clear()

    def refuse(*_):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.usefixtures("without_locks")
def test_a_disk_without_locks_holds_runs_and_this_machine_knows_their_driver(tmp_path, caplog):
    run = RunStore.open(tmp_path / "run", {"seed": 1})
    assert caplog.text.count("the disk refuses locks") == 1
    assert "see to it that no other machine works on the same run" in caplog.text
    assert run.state().driver == os.getpid()
    with pytest.raises(UserError, match=f"driven by process {os.getpid()}"):
        RunStore.open(tmp_path / "run", None)
    run.close()
    with RunStore.read(tmp_path / "run") as reader:
        assert reader.state().driver is None
    RunStore.open(tmp_path / "run", None).close()


@pytest.mark.usefixtures("without_locks")
def test_a_driver_that_was_killed_without_a_lock_is_no_driver(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for text in (
        f"{gone.pid} 12345 {platform.node()}\n",
        f"{os.getpid()} 1 {platform.node()}\n",
        "7 8 elsewhere",
    ):
        (tmp_path / LOCK_FILE).write_text(text)
        assert driver_of(tmp_path) is None
        DriverLock(tmp_path).release()


@pytest.mark.parametrize("content", [b"", b"\xff\0garbage", b"not a number\n", b"-5\n", b"1 2 3 4 5\n"])
def test_a_damaged_lock_file_tells_of_no_driver(tmp_path, content):
    (tmp_path / LOCK_FILE).write_bytes(content)
    assert driver_of(tmp_path) is None
    lock = DriverLock(tmp_path)
    assert driver_of(tmp_path) == os.getpid()
    lock.release()


def test_a_folder_in_the_place_of_the_lock_file(tmp_path):
    with RunStore.open(tmp_path / "run", {"seed": 1}):
        pass
    (tmp_path / "run" / LOCK_FILE).unlink()
    (tmp_path / "run" / LOCK_FILE).mkdir()
    assert driver_of(tmp_path / "run") is None
    with pytest.raises(UserError, match="cannot hold a run"):
        RunStore.open(tmp_path / "run", None)


def test_a_disk_that_fails_while_locking_is_an_error(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(OSError, match="Input/output"):
        DriverLock(tmp_path)
