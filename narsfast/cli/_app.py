"""The command `narsfast`: registers the commands."""

from __future__ import annotations

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

from ._commands import Command, Commands, Terminated
from ._doctor import doctor
from ._inspect import backup, best, report, status
from ._latency import latency
from ._networks import scale, train_model
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
    "What there is": (space, zoo, doctor),
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
    ignore_pillow_warnings()  # they are told in sentences where the data is loaded
    with _ending_at_sigterm():
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
def _ending_at_sigterm() -> Iterator[None]:
    """Let SIGTERM end the block; as process 1 of a container, a process without a handler would not get the signal."""
    if threading.current_thread() is not threading.main_thread():  # only that one may say what a signal does
        yield
        return
    process = os.getpid()

    def end(*_: object) -> None:
        if os.getpid() != process:
            os._exit(128 + signal.SIGTERM)  # a forked child, of which it is nobody's business
        raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
