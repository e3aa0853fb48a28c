"""What runs in a worker process: tasks from a pipe, one at a time, until the pipe closes.

The pipe closes when the driver shuts its executor down and also when the driver is killed, so that no worker
is ever left behind. A listening thread waits for that while the main thread runs a function; the worker leads
a process group of its own, and takes what it has started (data loaders) with it.
"""

from __future__ import annotations

import os
import pickle
import signal
import threading
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

from narsfast.common.pillow_warnings import ignore_pillow_warnings

STARTED, REPORT, RESULT, ERROR = range(4)
"""First item of a message to the driver; the second: None, a fraction, a result, (exception, traceback)."""

_GRACE = 5  # seconds an idle worker has for ending by itself


class RemoteTraceback(Exception):  # noqa: N818
    """Cause of an exception that came from a worker; its text is the traceback there."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def main(descriptor: int) -> None:
    """Serve the driver at the other end of the socket `descriptor`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver, which then closes the pipe
    os.set_inheritable(descriptor, False)
    ignore_pillow_warnings()  # the driver has told of them
    _Worker(Connection(descriptor)).serve()


class _Worker:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._tasks: SimpleQueue[bytes | None] = SimpleQueue()
        self._busy = False

    def serve(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()
        while (payload := self._tasks.get()) is not None:
            self._run(payload)

    def _listen(self) -> None:
        while True:
            try:
                payload = self._connection.recv_bytes()
            except (EOFError, OSError):
                break
            self._busy = True
            self._tasks.put(payload)
        if self._busy:
            os.killpg(0, signal.SIGKILL)
        signal.alarm(_GRACE)
        self._tasks.put(None)

    def _run(self, payload: bytes) -> None:
        try:
            function, args = pickle.loads(payload)
            self._send((STARTED, None))
            result = function(*args, report=self._report)
            message = pickle.dumps((RESULT, result))
        except Exception as error:
            message = _error_message(error)
        self._busy = False
        self._send_bytes(message)

    def _report(self, fraction: float) -> None:
        self._send((REPORT, float(fraction)))

    def _send(self, message: tuple[int, Any]) -> None:
        self._send_bytes(pickle.dumps(message))

    def _send_bytes(self, message: bytes) -> None:
        with (
            suppress(OSError),
            self._sending,
        ):  # when the driver is gone, the listening thread ends this process
            self._connection.send_bytes(message)


def _error_message(error: Exception) -> bytes:
    text = "".join(traceback.format_exception(error))
    try:
        message = pickle.dumps((ERROR, (error, text)))
        pickle.loads(message)
    except Exception:  # an exception of its own kind that does not pickle there and back
        return pickle.dumps((ERROR, (RuntimeError(f"{type(error).__name__}: {error}"), text)))
    return message
