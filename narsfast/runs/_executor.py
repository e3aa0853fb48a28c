"""Where trainings run: the interface of executors, and trials through it.

An executor holds nothing that matters: what it was given and has not yielded is simply submitted again.
"""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from typing import Any, Generic, Protocol, TypeVar

from narsfast.common import machine
from narsfast.common.trial import Outcome, Trial
from narsfast.errors import MachineError, UserError

Report = Callable[[float], None]
"""Is told how far a function is, as a fraction from 0 to 1."""

_T = TypeVar("_T")
_log = logging.getLogger("narsfast.machine")


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
    """Train all candidates, and yield the trial of each as it ends, whatever its candidate made of it.

    A training that the machine disturbed (a lost worker, a full disk, lack of memory) is no trial: after a pause it is
    begun again, alone where it was disturbed before.

    Args:
        executor: Where the trainings run.
        function: The training, called as `function(task, report=callable)`.
        tasks: One per candidate.
        timeout: Seconds for each.
        started: Called with a task when its training begins; possibly from another thread.
        report: Called with a task and the fraction of it that is done; possibly from another thread.

    Raises:
        MachineError: The machine disturbs a training again and again. All others have ended by then, or were
            disturbed too.
        UserError: As raised by `function`; what the user must fix is no property of a candidate.
        CancelledError: The executor was shut down.
    """
    fresh, disturbed = list(tasks), list[_TaskT]()
    delays = iter(machine.RETRY_DELAYS)
    while fresh or disturbed:
        attempt = _Attempt(executor, fresh or disturbed[:1], timeout)
        for trial in attempt.trials(function, started, report):
            delays = iter(machine.RETRY_DELAYS)
            yield trial
        disturbed = [*(disturbed if fresh else disturbed[1:]), *attempt.disturbed]
        fresh = attempt.untouched
        if attempt.trouble is None:
            continue
        task, trouble = attempt.disturbed[0], attempt.trouble
        delay = next(delays, None) if trouble.passing else None
        if delay is None:
            raise MachineError(
                f"the training of candidate {task.candidate}: {trouble.what}", trouble.remedy, False
            )
        _log.warning(
            "the training of candidate %s: %s; it is tried again in %g s", task.candidate, trouble.what, delay
        )
        time.sleep(delay)


class _Attempt(Generic[_TaskT]):
    """Trains tasks until all have ended, or until those under way have after the first that the machine disturbed.

    Attributes:
        trouble: The first disturbance; None where there was none.
        disturbed: Tasks that were disturbed.
        untouched: Tasks that did not begin.
    """

    def __init__(self, executor: Executor, tasks: Sequence[_TaskT], timeout: float | None) -> None:
        self.trouble: MachineError | None = None
        self.disturbed: list[_TaskT] = []
        self.untouched: list[_TaskT] = []
        self._executor = executor
        self._tasks = tasks
        self._timeout = timeout

    def trials(
        self,
        function: Callable[..., Trial],
        started: Callable[[_TaskT], None] | None,
        report: Callable[[_TaskT, float], None] | None,
    ) -> Iterator[Trial]:
        """Yield the trials of those that were not disturbed."""
        watches: dict[Future[Trial], _Watch[_TaskT]] = {}
        for task in self._tasks:
            watch = _Watch(task, started, report)
            future = self._executor.submit(function, task, report=watch.report, timeout=self._timeout)
            future.add_done_callback(watch.end)
            watches[future] = watch
        taken_back = set[Future[Trial]]()
        try:
            for future in self._executor.as_completed(list(watches)):
                if future in taken_back:
                    self.untouched.append(watches[future].task)
                    continue
                try:
                    trial = _trial_of(watches[future], future)
                except MachineError as trouble:
                    self.trouble = self.trouble or trouble
                    self.disturbed.append(watches[future].task)
                    taken_back |= {other for other in watches if not other.done() and other.cancel()}
                    continue
                yield trial
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
    """Return the trial of a future that has ended.

    Raises:
        MachineError: The machine disturbed it.
        UserError: As raised by the function.
        CancelledError: The executor was shut down.
    """
    try:
        return future.result()
    except (UserError, CancelledError):
        raise
    except WorkerLost as error:
        raise MachineError(str(error), "use fewer `workers` if it was memory that ran out") from error
    except TrialTimedOut as error:
        outcome: Outcome = "timed_out"
        message = str(error)
    except Exception as error:
        trouble = machine.machine_error(error)
        if trouble is not None:
            raise trouble from error
        outcome = "failed"
        message = " ".join(f"{type(error).__name__}: {error}".split())
    return Trial(watch.task.candidate, (), outcome, watch.task.epochs, watch.seconds, message)
