"""Where trainings run: the interface of executors, and trials through it.

An executor holds nothing that matters: what it was given and has not yielded is simply submitted again.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from typing import Any, Generic, Protocol, TypeVar

from narsfast.common.trial import Outcome, Trial
from narsfast.errors import UserError

Report = Callable[[float], None]
"""Is told how far a function is, as a fraction from 0 to 1."""

_T = TypeVar("_T")


class WorkerLost(RuntimeError):  # noqa: N818
    """The process that ran a task died; other tasks are not affected."""


class TrialTimedOut(RuntimeError):  # noqa: N818
    """A task ran longer than its time limit."""


class Executor(ABC):
    """Runs functions somewhere; a context manager that shuts down when it is left."""

    @abstractmethod
    def submit(
        self,
        function: Callable[..., _T],
        *args: Any,
        report: Report | None = None,
        timeout: float | None = None,
    ) -> Future[_T]:
        """Take on `function(*args, report=callable)`.

        Args:
            function: Called with `args` and a callable `report`, which it may call with fractions from 0 to
                1. An importable function, with arguments and a result that pickle.
            args: Its arguments.
            report: Called with 0.0 when the function begins and then with each fraction that it reports;
                possibly from another thread.
            timeout: Seconds from its beginning after which it ends with `TrialTimedOut`.

        Returns:
            A future: its exception is what the function raised, `WorkerLost` or `TrialTimedOut`. `cancel()`
            takes back what has not begun.
        """

    @abstractmethod
    def as_completed(self, futures: Iterable[Future[_T]]) -> Iterator[Future[_T]]:
        """Yield futures of this executor as they end, each once."""

    @abstractmethod
    def shutdown(self) -> None:
        """Cancel what has not begun, end what runs, free everything; a second call does nothing."""

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()


class Task(Protocol):
    """What `run_trials` needs to know of the training of one candidate."""

    @property
    def candidate(self) -> str:
        """Id of the candidate."""

    @property
    def epochs(self) -> int:
        """Epochs asked for."""


_TaskT = TypeVar("_TaskT", bound=Task)


def run_trials(
    executor: Executor,
    function: Callable[..., Trial],
    tasks: Sequence[_TaskT],
    *,
    timeout: float | None = None,
    started: Callable[[_TaskT], None] | None = None,
    report: Callable[[_TaskT, float], None] | None = None,
) -> Iterator[Trial]:
    """Train all candidates, yield each trial as it ends, and make a trial of every way to end.

    Args:
        executor: Where the trainings run.
        function: The training, called as `function(task, report=callable)`.
        tasks: One per candidate.
        timeout: Seconds for each.
        started: Called with a task when its training begins; possibly from another thread.
        report: Called with a task and the fraction of it that is done; possibly from another thread.

    Raises:
        UserError: As raised by `function`; what the user must fix is no property of a candidate.
        CancelledError: The executor was shut down.
    """
    watches = {}
    for task in tasks:
        watch = _Watch(task, started, report)
        future = executor.submit(function, task, report=watch.report, timeout=timeout)
        future.add_done_callback(watch.end)
        watches[future] = watch
    try:
        for future in executor.as_completed(list(watches)):
            yield _trial_of(watches[future], future)
    finally:
        for future in watches:
            future.cancel()


class _Watch(Generic[_TaskT]):
    """Follows one task: passes on what it reports, and takes its time."""

    def __init__(
        self,
        task: _TaskT,
        started: Callable[[_TaskT], None] | None,
        report: Callable[[_TaskT, float], None] | None,
    ) -> None:
        self.task = task
        self.seconds = 0.0
        self._started = started
        self._report = report
        self._begin: float | None = None

    def report(self, fraction: float) -> None:
        if self._begin is None:
            self._begin = time.monotonic()
            if self._started is not None:
                self._started(self.task)
        if self._report is not None:
            self._report(self.task, fraction)

    def end(self, _: Future[Trial]) -> None:
        if self._begin is not None:
            self.seconds = time.monotonic() - self._begin


def _trial_of(watch: _Watch[Any], future: Future[Trial]) -> Trial:
    outcome: Outcome
    try:
        return future.result()
    except (UserError, CancelledError):
        raise
    except Exception as error:
        if isinstance(error, WorkerLost):
            outcome, message = "lost", str(error)
        elif isinstance(error, TrialTimedOut):
            outcome, message = "timed_out", str(error)
        else:
            outcome = "out_of_memory" if isinstance(error, MemoryError) else "failed"
            message = " ".join(f"{type(error).__name__}: {error}".split())
    return Trial(watch.task.candidate, (), outcome, watch.task.epochs, watch.seconds, message)
