"""Functions that the tests run in workers."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

from narsfast.common.trial import Trial
from narsfast.errors import UserError


@dataclass(frozen=True)
class Work:
    candidate: str
    epochs: int
    how: str = "ok"


def add(a, b, report):
    return a + b


def count_to(steps, report):
    for step in range(1, steps + 1):
        report(step / steps)
    return steps


def fail(text, report):
    raise ValueError(text)


class TwoArgumentsError(Exception):
    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


def fail_unpicklable(report):
    raise TwoArgumentsError("this", "that")


def return_unpicklable(report):
    return lambda: None


def process_id(report):
    return os.getpid()


def environment(names, seconds, report):
    time.sleep(seconds)
    return os.getpid(), {name: os.environ.get(name) for name in names}


def die(report):
    os.kill(os.getpid(), signal.SIGKILL)


def leave(code, report):
    os._exit(code)


def work_for(seconds, report):
    """Keep the processor busy, reporting now and then, for at most `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        report(0.5)
        time.sleep(0.01)
    return "finished"


def swallow_everything(seconds, report):
    try:
        work_for(seconds, report)
    except Exception:
        return "swallowed"


def note_and_sleep(directory, report):
    """Leaves the ids of this process and of a child of it in a file, then sleeps."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    note = Path(directory) / f"{os.getpid()}.pids"
    partial = note.with_suffix(".partial")
    partial.write_text(f"{os.getpid()} {child.pid}")
    partial.rename(note)
    threading.Event().wait(60)


def warn(module, report):
    """Warn as a module does by itself."""
    warnings.warn_explicit(f"of {module}", UserWarning, f"{module}.py", 1, module)


def print_line(report):
    print("a line of a worker")


def _counted(file):
    """Tell whether it is the second call for this file."""
    try:
        Path(file).touch(exist_ok=False)
    except FileExistsError:
        return True
    return False


def train(work, report):
    report(0.0)
    report(0.5)
    if work.how == "die":
        die(report)
    if work.how.startswith("die until ") and not _counted(work.how.removeprefix("die until ")):
        die(report)
    if work.how == "hang":
        work_for(30, report)
    if work.how == "raise":
        raise RuntimeError("something\nbroke")
    if work.how == "memory":
        raise MemoryError("too big")
    if work.how == "forbidden":
        raise PermissionError(errno.EACCES, "Permission denied", "/run/weights")
    if work.how == "user":
        raise UserError("data: /nowhere does not exist, name a folder")
    return Trial(work.candidate, tuple(float(epoch) for epoch in range(work.epochs)), "ok", work.epochs, 0.0)
