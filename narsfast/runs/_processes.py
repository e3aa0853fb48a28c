"""The executor with worker processes: fresh interpreters, each with a pipe of its own.

A worker that dies loses only the task it had; the next task gets a fresh one. Workers are plain child
processes and not `multiprocessing` ones: they may have children themselves (data loaders), do not run the
driver's main script again, and get their environment before anything is imported. Each is looked after by one
thread of the driver.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from queue import SimpleQueue
from typing import Any, TypeVar

from narsfast.errors import UserError

from ._executor import Executor, Report, TrialTimedOut, WorkerLost
from ._worker import ERROR, REPORT, RESULT, STARTED, RemoteTraceback

_T = TypeVar("_T")
_GLANCE = 1.0  # seconds between looks at whether a silent worker lives
_GRACE = 6.0  # seconds an idle worker has for ending by itself, a little more than it gives itself
_START = (
    "import sys; sys.path[:] = sys.argv[2:]; from narsfast.runs._worker import main; main(int(sys.argv[1]))"
)
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Processes(Executor):
    """Runs tasks in `workers` processes, which start when there is work for them and stay for the next.

    Args:
        workers: How many tasks run at a time.
        threads_per_trial: Threads of each worker's numerical libraries.
        gpus: Number of GPUs that the workers share in turn, each seeing `gpus_per_worker`; None asks torch, 0 leaves
            `CUDA_VISIBLE_DEVICES` as it is.
        gpus_per_worker: More than one where several processes train a candidate together.
    """

    def __init__(
        self,
        workers: int,
        threads_per_trial: int = 1,
        gpus: int | None = None,
        gpus_per_worker: int = 1,
    ) -> None:
        if workers < 1:
            raise UserError(f"workers is {workers}: at least 1 is needed")
        self._threads_per_trial = threads_per_trial
        self._gpus = gpus
        self._gpus_per_worker = gpus_per_worker
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="narsfast-worker")
        self._mutex = threading.Lock()
        self._slots: dict[int, _Slot] = {}  # by the id of the thread that looks after it
        self._open = True

    def submit(
        self,
        function: Callable[..., _T],
        *args: Any,
        report: Report | None = None,
        timeout: float | None = None,
    ) -> Future[_T]:
        """See `Executor.submit`."""
        if getattr(function, "__module__", None) == "__main__":
            name = getattr(function, "__qualname__", function)
            raise UserError(
                f"function {name} is defined in the main script: move it into a module, "
                "so that worker processes can import it"
            )
        return self._pool.submit(self._run, pickle.dumps((function, args)), report, timeout)

    def as_completed(self, futures: Iterable[Future[_T]]) -> Iterator[Future[_T]]:
        """See `Executor.as_completed`."""
        ended: SimpleQueue[Future[_T]] = SimpleQueue()
        waiting = list(futures)
        for future in waiting:
            future.add_done_callback(ended.put)
        for _ in waiting:
            yield ended.get()

    def shutdown(self) -> None:
        """See `Executor.shutdown`; running workers are killed."""
        with self._mutex:
            self._open = False
            slots = list(self._slots.values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for slot in slots:
            slot.close()
        for slot in slots:
            slot.wait()
        self._pool.shutdown(wait=True)

    def _run(self, payload: bytes, report: Report | None, timeout: float | None) -> Any:
        slot = self._own_slot()
        try:
            return slot.run(payload, report or _nothing, timeout)
        except WorkerLost:
            if not self._open:
                raise CancelledError from None
            raise

    def _own_slot(self) -> _Slot:
        with self._mutex:
            if not self._open:
                raise CancelledError
            key = threading.get_ident()
            if key not in self._slots:
                number = len(self._slots)
                self._slots[key] = _Slot(self._environment(number))
            return self._slots[key]

    def _environment(self, number: int) -> dict[str, str]:
        environment = dict(os.environ)
        environment |= {name: str(self._threads_per_trial) for name in _THREAD_VARIABLES}
        environment["OMP_WAIT_POLICY"] = "PASSIVE"  # idle threads must not take the cores of other workers
        gpus = visible_gpus(self._gpus, environment.get("CUDA_VISIBLE_DEVICES"))
        if gpus:
            each = min(self._gpus_per_worker, len(gpus))
            first = number * each
            chosen = [gpus[place % len(gpus)] for place in range(first, first + each)]
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(chosen)
        return environment


def visible_gpus(count: int | None, variable: str | None) -> Sequence[str]:
    """Names of the GPUs to share out, as `CUDA_VISIBLE_DEVICES` takes them.

    Args:
        count: How many there are; None asks torch.
        variable: The driver's own `CUDA_VISIBLE_DEVICES`, to choose among those it may use.
    """
    if count is None:
        import torch

        count = torch.cuda.device_count()
    names = variable.split(",") if variable else [str(number) for number in range(count)]
    return names[:count]


class _Slot:
    """The place of one worker: starts it when needed and again after it was lost; used by one thread."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._mutex = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._busy = False
        self._open = True

    def run(self, payload: bytes, report: Report, timeout: float | None) -> Any:
        while True:
            warm = self._process is not None
            exchange = _Exchange(*self._worker(), timeout)
            try:
                kind, value = exchange.run(payload, report)
            except BaseException as reason:
                self._end()
                if warm and isinstance(reason, WorkerLost) and not exchange.begun:
                    continue  # it had died before it got this task
                raise
            with self._mutex:
                self._busy = False
            if kind == ERROR:
                error, text = value
                raise error from RemoteTraceback(text)
            return value

    def close(self) -> None:
        """Tells an idle worker to end, kills a busy one; from any thread."""
        with self._mutex:
            self._open = False
            if self._busy and self._process is not None:
                _kill(self._process)  # the thread in `run` sees it
            elif self._connection is not None:
                self._connection.close()

    def wait(self) -> None:
        """Wait until the worker has ended; after `close`."""
        process = self._process
        if process is None:
            return
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            _kill(process)
            process.wait()

    def _worker(self) -> tuple[subprocess.Popen[bytes], Connection]:
        with self._mutex:
            if not self._open:
                raise CancelledError
            if self._process is None or self._connection is None:
                self._process, self._connection = _start(self._environment)
            self._busy = True
            return self._process, self._connection

    def _end(self) -> None:
        with self._mutex:
            if self._process is not None and self._connection is not None:
                _kill(self._process)
                self._process.wait()
                self._connection.close()
            self._process = self._connection = None
            self._busy = False


class _Exchange:
    """One task sent to a worker, and what comes back."""

    def __init__(
        self, process: subprocess.Popen[bytes], connection: Connection, timeout: float | None
    ) -> None:
        self._process = process
        self._connection = connection
        self._timeout = timeout
        self._start: float | None = None

    def run(self, payload: bytes, report: Report) -> tuple[int, Any]:
        """Return (RESULT, result) or (ERROR, (exception, traceback)).

        Raises:
            WorkerLost: The worker ended before it answered.
            TrialTimedOut: It did not answer in time.
        """
        try:
            self._connection.send_bytes(payload)
            while True:
                kind, value = self._receive()
                if kind in (RESULT, ERROR):
                    return kind, value
                if kind == STARTED:
                    self._start = time.monotonic()
                report(value if kind == REPORT else 0.0)
        except (EOFError, ConnectionError) as error:
            raise self._lost() from error

    def _receive(self) -> tuple[int, Any]:
        while not self._connection.poll(self._patience()):
            if self._process.poll() is not None and not self._connection.poll(0):
                raise EOFError
        message: tuple[int, Any] = pickle.loads(self._connection.recv_bytes())
        return message

    def _patience(self) -> float:
        """Seconds to wait for a message before looking again."""
        if self._timeout is None or self._start is None:
            return _GLANCE
        left = self._start + self._timeout - time.monotonic()
        if left <= 0:
            raise TrialTimedOut(f"ran longer than {self._timeout:g} s")
        return min(left, _GLANCE)

    @property
    def begun(self) -> bool:
        """Whether the function was called."""
        return self._start is not None

    def _lost(self) -> WorkerLost:
        try:
            code = self._process.wait(_GLANCE)
        except subprocess.TimeoutExpired:
            how = "closed its pipe"
        else:
            how = _how_it_ended(code)
        return WorkerLost(f"the worker process {self._process.pid} {how}")


def _start(environment: dict[str, str]) -> tuple[subprocess.Popen[bytes], Connection]:
    here, there = Pipe()
    with there:
        descriptor = there.fileno()
        process = subprocess.Popen(
            [sys.executable, "-c", _START, str(descriptor), *(entry or os.getcwd() for entry in sys.path)],
            stdin=subprocess.DEVNULL,
            stdout=2,  # the driver's standard output belongs to its answers
            env=environment,
            pass_fds=[descriptor],
            start_new_session=True,  # out of Ctrl-C's reach, and killed with all it started
        )
    return process, here


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):  # nobody is left of the group
        os.killpg(process.pid, signal.SIGKILL)


def _how_it_ended(code: int) -> str:
    if code == -signal.SIGKILL:
        return "was killed (signal 9), perhaps because memory ran out"
    if code < 0:
        return f"ended by signal {-code} ({signal.strsignal(-code)})"
    return f"ended with exit code {code}"


def _nothing(_: float) -> None:
    pass
