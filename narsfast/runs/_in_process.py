"""The executor without processes: one task at a time, in the order submitted, when somebody waits for it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from ._executor import Executor, Report, TrialTimedOut

_T = TypeVar("_T")


class InProcess(Executor):
    """Runs each task in the driver itself, inside `as_completed` or a future's `result`.

    It cannot interrupt a function: a time limit is noticed when the function reports or ends.
    """

    def __init__(self) -> None:
        self._queue: deque[_Call] = deque()
        self._open = True

    def submit(
        self,
        function: Callable[..., _T],
        *args: Any,
        report: Report | None = None,
        timeout: float | None = None,
    ) -> Future[_T]:
        """See `Executor.submit`; nothing runs yet."""
        if not self._open:
            raise RuntimeError("the executor was shut down")
        future: _LazyFuture[_T] = _LazyFuture(self)
        self._queue.append(_Call(future, function, args, report, timeout))
        return future

    def as_completed(self, futures: Iterable[Future[_T]]) -> Iterator[Future[_T]]:
        """See `Executor.as_completed`."""
        for future in futures:
            self._run_until_done(future)
            yield future

    def shutdown(self) -> None:
        """See `Executor.shutdown`."""
        self._open = False
        while self._queue:
            self._queue.popleft().future.cancel()

    def _run_until_done(self, future: Future[Any]) -> None:
        while not future.done() and self._queue:
            self._queue.popleft().run()


class _LazyFuture(Future[_T]):
    """A future that makes its executor work when it is waited for."""

    def __init__(self, executor: InProcess) -> None:
        super().__init__()
        self._executor = executor

    def result(self, timeout: float | None = None) -> _T:
        self._executor._run_until_done(self)
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._executor._run_until_done(self)
        return super().exception(timeout)


@dataclass(frozen=True)
class _Call:
    future: Future[Any]
    function: Callable[..., Any]
    args: tuple[Any, ...]
    report: Report | None
    timeout: float | None

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        start = time.monotonic()

        def check_time() -> None:
            if self.timeout is not None and time.monotonic() - start > self.timeout:
                raise TrialTimedOut(f"ran longer than {self.timeout:g} s")

        def tell(fraction: float) -> None:
            check_time()
            if self.report is not None:
                self.report(fraction)

        try:
            tell(0.0)
            result = self.function(*self.args, report=tell)
            check_time()
        except BaseException as error:
            self.future.set_exception(error)
            if not isinstance(error, Exception):  # Ctrl-C ends the driver too
                raise
        else:
            self.future.set_result(result)
