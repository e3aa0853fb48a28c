"""A trial trained by several processes of this machine: torchrun starts them, and this process waits for their answers.

They exchange files in a folder: the task, the trial (or error) of each process, and the share done, which the first
one writes now and then. torchrun starts its processes in sessions of their own, where a signal to the process group of
an executor's worker does not reach them, so each watches the processes that it works for, and exits with them.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from narsfast.common.files import write_file
from narsfast.common.trial import Trial
from narsfast.errors import MachineError, UserError

_POLL = 0.2  # seconds between checks of the processes and their progress
_WATCH = 1.0  # seconds after which an orphan has exited
_START = "import sys; sys.path[:] = sys.argv[2:]; from narsfast.training._rank import main; main(sys.argv[1])"


def run_in_processes(task: Any, processes: int, report: Callable[[float], None] | None) -> Trial:
    """Do what `run_trial` does for a `TrialTask`, in several processes.

    Args:
        task: The `TrialTask`.
        processes: Number of processes, each on a GPU of its own where the task's device is cuda.
        report: Called with the share done, 0 to 1; an exception in it ends the processes.

    Raises:
        MachineError: As in `run_trial`, or a process ended without an answer.
        UserError: As in `run_trial`.
    """
    with tempfile.TemporaryDirectory(prefix="narsfast-") as name:
        folder = Path(name)
        (folder / "task").write_bytes(pickle.dumps((os.getpid(), task)))
        with (folder / "log").open("w+b") as log:
            process = subprocess.Popen(_command(processes, folder), stdout=log, stderr=subprocess.STDOUT)
            try:
                while process.poll() is None:
                    time.sleep(_POLL)
                    if report is not None:
                        report(_progress(folder))
            finally:
                process.terminate()  # torchrun passes it on; does nothing after a normal end
                process.wait()
        answers = [pickle.loads(file.read_bytes()) for file in _oldest_first(folder)]
        said = (folder / "log").read_text(errors="replace").strip().splitlines()
    return _answer(answers, processes, said[-1] if said else "silent")


def _command(processes: int, folder: Path) -> list[str]:
    python = [sys.executable, "-c", _START, str(folder), *(entry or os.getcwd() for entry in sys.path)]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--no-python"]
    return [*torchrun, f"--nproc-per-node={processes}", *python]


def _progress(folder: Path) -> float:
    try:
        return float((folder / "progress").read_text())
    except (OSError, ValueError):
        return 0.0


def _oldest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("answer-*"), key=lambda file: file.stat().st_mtime_ns)


def _answer(answers: list[Any], processes: int, said: str) -> Trial:
    """Choose among the answers, the oldest first: where one process failed, the others only report that they lost it.

    Raises:
        MachineError: A process was disturbed or ended without an answer, and none of the others says why.
        UserError: As a process answered.
    """
    errors = [answer for answer in answers if isinstance(answer, UserError)]
    trials: list[Trial] = [answer for answer in answers if not isinstance(answer, UserError)]
    for error in errors:
        if not isinstance(error, MachineError):
            raise error
    for outcome in ("out_of_memory", "failed"):
        for trial in trials:
            if trial.outcome == outcome:
                return trial
    if errors:
        raise errors[0]
    if len(trials) < processes:
        raise MachineError(
            f"{processes - len(trials)} of {processes} processes ended without an answer ({said})",
            "use fewer `workers` if it was memory that ran out",
        )
    return trials[0]


def write_answer(folder: Path, rank: int, found: Trial | UserError) -> None:
    """Write the result of a process."""
    write_file(folder / f"answer-{rank}", pickle.dumps(found))


def write_progress(folder: Path, share: float) -> None:
    """Write how far the training is."""
    write_file(folder / "progress", repr(share))


def exit_with(pid: int) -> None:
    """Exit this process as soon as its parent or the process `pid` has ended."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent and _lives(pid):
            time.sleep(_WATCH)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _lives(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False
