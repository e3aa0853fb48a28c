"""The command `narsfast`: registers the commands."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated

import typer

from narsfast.common.machine import machine_error
from narsfast.common.pillow_warnings import ignore_pillow_warnings

from ._commands import ENDING, Command, Commands, Ended
from ._doctor import doctor
from ._inspect import backup, best, report, status
from ._latency import latency
from ._networks import scale, train_model
from ._parents import parents
from ._pareto import pareto
from ._spaces import space, zoo
from ._stages import emit, evolve, optimize, pretrain, resume, run, train

app = typer.Typer(
    name="narsfast",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

_PANELS = {
    "Search": (run, resume, status, best, report, backup, pareto),
    "Stages, one by one": (pretrain, optimize, evolve, train, emit),
    "Single networks": (train_model, scale),
    "What there is": (space, zoo, parents, doctor),
}
for _panel, _commands in _PANELS.items():
    for _command in _commands:
        app.command(cls=Command, rich_help_panel=_panel)(_command)
app.add_typer(latency, name="latency", rich_help_panel="What there is")


def _show_version(asked: bool) -> None:
    if asked:
        from narsfast import __version__

        typer.echo(f"narsfast {__version__}")
        raise typer.Exit


@app.callback()
def _narsfast(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version.")
    ] = False,
) -> None:
    """Find small, accurate vision networks together with the recipe that trains them."""


def main() -> None:
    """Run the command `narsfast`."""
    _prepare_standard_streams()
    ignore_pillow_warnings()  # they are told in sentences where the data is loaded
    with _ending_at_signals():
        try:
            app()
        except SystemExit as end:
            failure = _flush()
            if failure is None or end.code:
                raise
        except OSError as error:  # of help; that of commands is a sentence already
            failure = error
            _flush()
        if failure is not None and not isinstance(
            failure, BrokenPipeError
        ):  # nobody reads on: nothing to tell
            typer.echo(f"narsfast: {machine_error(failure)}", err=True)
        sys.exit(1)


def _prepare_standard_streams() -> None:
    """Let closed streams lead nowhere, and open ones take every name of a file.

    The next file that is opened would get the number of a closed stream, and with it what is printed.
    """
    for number, (name, mode) in enumerate({"stdin": "r", "stdout": "w", "stderr": "w"}.items()):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def _flush() -> OSError | None:
    """Write what is left of the output; where that fails, return why, and drop it before Python tries it once more."""
    try:
        sys.stdout.flush()
    except OSError as error:
        with suppress(OSError), open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        return error
    return None


@contextmanager
def _ending_at_signals() -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and SIGHUP end the block in good order; a second one ends the process at once.

    As process 1 of a container, a process without a handler would not get them. One that was told to ignore SIGHUP, as
    by nohup, goes on doing so.
    """
    if threading.current_thread() is not threading.main_thread():  # only that one may say what a signal does
        yield
        return
    process, got = os.getpid(), list[int]()

    def end(number: int, _: object) -> None:
        if got or os.getpid() != process:  # or a forked child, of which the first is nobody's business
            os._exit(128 + number)
        got.append(number)
        raise Ended(number)

    before = {
        number: signal.signal(number, end)
        for number in ENDING
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
