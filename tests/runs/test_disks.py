"""Runs on disks that are full, read-only, or lack what local disks have."""

import errno
import os
import shutil
import sqlite3
import subprocess
import sys

import pytest

from narsfast.common.trial import Trial
from narsfast.errors import MachineError, UserError
from narsfast.runs import PickedCandidate, Result, RunStore

WITHOUT_LOCKS = """
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

static int refuse(int fd, int cmd, long arg) {
    if (cmd == F_SETLK || cmd == F_SETLKW || cmd == F_GETLK) { errno = ENOLCK; return -1; }
    return syscall(SYS_fcntl, fd, cmd, arg);
}
#define PASS { va_list a; va_start(a, cmd); long v = va_arg(a, long); va_end(a); return refuse(fd, cmd, v); }
int fcntl(int fd, int cmd, ...) PASS
int fcntl64(int fd, int cmd, ...) PASS
int flock(int fd, int operation) { errno = ENOLCK; return -1; }
"""

DRIVE = """
import logging, sys
logging.basicConfig()
from narsfast.common.trial import Trial
from narsfast.runs import RunStore
with RunStore.open(sys.argv[1], {"seed": 1}) as run:
    run.put_fact("chance", 12.5)
    run.add_trial(Trial("a", (1.0,), "ok", 1, 0.5), "final")
    with RunStore.read(sys.argv[1]) as reader:
        assert reader.facts.chance == 12.5
        assert reader.state().driver is not None
with RunStore.read(sys.argv[1]) as reader:
    print([trial.candidate for trial in reader.trials("final")], reader.state().driver)
"""


@pytest.fixture(scope="module")
def without_locks(tmp_path_factory):
    """Build what makes the system refuse every lock; return the environment for it."""
    if (compiler := shutil.which("cc")) is None:
        pytest.skip("no compiler is here")
    source = tmp_path_factory.mktemp("locks") / "locks.c"
    source.write_text(WITHOUT_LOCKS)
    library = source.with_suffix(".so")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    return os.environ | {"LD_PRELOAD": str(library), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


@pytest.mark.parametrize("made_here", [False, True], ids=["new", "with a log of a killed driver"])
def test_a_disk_without_any_locks_holds_a_run(tmp_path, without_locks, made_here):
    if made_here:
        with RunStore.open(tmp_path / "local", {"seed": 1}) as run:
            run.add_trial(Trial("b", (2.0,), "ok", 1, 0.5), "final")
            shutil.copytree(tmp_path / "local", tmp_path / "run")
            (tmp_path / "run" / "run.db-shm").unlink()
    done = subprocess.run(
        [sys.executable, "-c", DRIVE, tmp_path / "run"],
        cwd=tmp_path,
        env=without_locks,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{['a', 'b'] if made_here else ['a']} None\n"
    assert done.stderr.count("the disk refuses locks") == 1
    with RunStore.open(tmp_path / "run", None) as run:  # where there are locks again
        assert run.facts.chance == 12.5
        run.put_fact("chance", 20.0)


@pytest.fixture
def disk(tmp_path):
    """Provide a disk of its own, and a function that sets its size in bytes."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")

    def resize(size):
        subprocess.run(["mount", "-o", f"remount,size={size}", place], check=True)

    try:
        yield place, resize
    finally:
        subprocess.run(["umount", place], check=True)


def test_no_room_for_a_run_is_said_and_with_room_it_begins(disk):
    place, resize = disk
    for size in (4096, 8192, 16_384, 32_768, 40_960):
        resize(size)
        with pytest.raises(UserError, match=r"the disk is full|No space left"):
            RunStore.open(place / "run", {"seed": 1})
    resize(10_000_000)
    RunStore.open(place / "run", {"seed": 1}).close()


def test_what_the_disk_did_not_take_is_not_there_and_the_rest_is(disk):
    place, resize = disk
    with RunStore.open(place / "run", {"seed": 1}) as run:
        resize(shutil.disk_usage(place).used + 50_000)
        stored = []

        def fill_up():
            for number in range(10_000):
                run.put_fact(f"fact {number}", "x" * 1000)
                stored.append(number)

        with pytest.raises(MachineError, match=r"the disk is full .*; make room on it"):
            fill_up()
        assert stored
        assert all(run.fact(f"fact {number}") == "x" * 1000 for number in stored)
        assert run.fact(f"fact {len(stored)}") is None
        resize(10_000_000)
        run.put_fact("at last", 1)
        assert run.fact("at last") == 1


def test_a_passing_trouble_of_the_disk_is_waited_for(tmp_path, monkeypatch, caplog):
    troubles = ["database or disk is full", "disk I/O error"]
    with RunStore.open(tmp_path / "run", {"seed": 1}) as run:
        connection = run._connection

        class Failing:
            in_transaction = False

            def execute(self, *arguments):
                if arguments[0] == "COMMIT" and troubles:
                    connection.execute("ROLLBACK")
                    raise sqlite3.OperationalError(troubles.pop())
                return connection.execute(*arguments)

            def close(self):
                connection.close()

        monkeypatch.setattr(run, "_connection", Failing())
        run.add_batch(0, 1, [PickedCandidate("a", (), {}, {})])
        for write, arguments in (
            (run.put_fact, ("chance", 1.0)),
            (run.started, ("a", "search", 1)),
            (run.add_trial, (Trial("a", (1.0,), "ok", 1, 1.0), "search")),
            (run.add_result, (Result("b", "a", 1, 1, 1.0, 1.0, 1.0, "c"),)),
        ):
            troubles.append("disk I/O error")
            write(*arguments)
        assert troubles == []
        assert (len(run.batches()), run.facts.chance, len(run.trials("search"))) == (1, 1.0, 1)
        assert len(run.results()) == 1
    assert caplog.text.count("it is tried again") == 6


def test_a_broken_disk_is_no_database_of_another_program(tmp_path, monkeypatch):
    RunStore.open(tmp_path / "run", {"seed": 1}).close()

    def fail(*_, **__):
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(sqlite3, "connect", fail)
    for attempt in (lambda: RunStore.open(tmp_path / "run", None), lambda: RunStore.read(tmp_path / "run")):
        with pytest.raises(MachineError, match=r"a file cannot be reached .*disk I/O error"):
            attempt()


def test_no_table_of_its_own_is_damage_also_to_the_driver(tmp_path):
    with RunStore.open(tmp_path / "run", {"seed": 1}) as run:
        run._connection.execute("DROP TABLE facts")
        with pytest.raises(UserError, match=r"run\.db is damaged .*no such table: facts"):
            run.put_fact("chance", 1.0)


def test_a_lock_file_that_cannot_be_written_is_a_sentence(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", fail)
    with pytest.raises(UserError, match=r"cannot hold a run .*No space left"):
        RunStore.open(tmp_path / "run", {"seed": 1})
