"""A trial trained by several processes of this machine: torchrun starts them, and this process waits for their answer.

They meet in a folder of files: the task and, from each process that has something to say, its trial; the first one
writes the share done now and then. torchrun puts its processes into sessions of their own, where a signal for the
group of an executor's worker does not reach them, so each looks after those that it works for.
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
from narsfast.errors import UserError

_GLANCE = 0.2  # seconds between looks at the processes and their progress
_WATCH = 1.0  # seconds after which an orphan ends, at most
_START = (
    "import sys; sys.path[:] = sys.argv[2:]; from narsfast.training._member import main; main(sys.argv[1])"
)


def run_in_processes(task: Any, processes: int, report: Callable[[float], None] | None) -> Trial:
    """`run_trial` of a `TrialTask`, by so many processes.

    Args:
        task: what to train.
        processes: how many, each on a GPU of its own where the task's device is cuda.
        report: called with the share done, 0..1; what it raises ends the processes.

    Raises:
        UserError: as `run_trial`.
        RuntimeError: they ended without an answer.
    """
    with tempfile.TemporaryDirectory(prefix="narsfast-") as name:
        folder = Path(name)
        (folder / "task").write_bytes(pickle.dumps((os.getpid(), task)))
        with (folder / "log").open("w+b") as log:
            process = subprocess.Popen(_command(processes, folder), stdout=log, stderr=subprocess.STDOUT)
            try:
                while process.poll() is None:
                    time.sleep(_GLANCE)
                    if report is not None:
                        report(_progress(folder))
            finally:
                process.terminate()  # torchrun passes it on; it has ended by itself where all went well
                process.wait()
        answers = [pickle.loads(file.read_bytes()) for file in _oldest_first(folder)]
        if not answers:
            said = (folder / "log").read_text(errors="replace").strip().splitlines()
            raise RuntimeError(
                f"{processes} processes ended without an answer: {said[-1] if said else 'silent'}"
            )
    return _answer(answers)


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


def _answer(answers: list[Any]) -> Trial:
    """What the processes say together: where one fell over, the others only say that it has left them."""
    for answer in answers:
        if isinstance(answer, UserError):
            raise answer
    trials: list[Trial] = answers
    return next((trial for trial in trials if trial.outcome == "out_of_memory"), trials[0])


def answer(folder: Path, rank: int, found: Trial | UserError) -> None:
    """Says what a process found."""
    write_file(folder / f"answer-{rank}", pickle.dumps(found))


def tell_progress(folder: Path, share: float) -> None:
    """Says how far the training is."""
    write_file(folder / "progress", repr(share))


def end_with(pid: int) -> None:
    """Ends this process at once when its parent ends or the process `pid` does."""
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
