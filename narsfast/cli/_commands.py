"""What all commands have in common: one sentence for a mistake, and the names that were in use before."""

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer
import typer.core

from narsfast.common.files import output_path
from narsfast.common.machine import machine_errors
from narsfast.errors import UserError

from ._messages import with_flags
from ._options import flag
from ._renamed import present_command, present_options

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that end a command so that it can go on later."""


class Ended(KeyboardInterrupt):
    """The process got one of these signals.

    Attributes:
        signal: Its number.
    """

    def __init__(self, signal: int) -> None:
        super().__init__()
        self.signal = signal


_ADVISED = {name: flag(name) for name in ("retry_failed", "accept_environment")}
"""Options of `narsfast resume` that sentences of other commands advise."""


class Command(typer.core.TyperCommand):
    """Ends a mistake of the user or a trouble of the machine with one sentence and exit code 1.

    A command line that says too little or too much ends with exit code 2. It takes old names of options, too.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments after putting present names in the place of old ones."""
        return super().parse_args(ctx, present_options(self.name, args, quiet=ctx.resilient_parsing))

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            ctx.params = {  # a shell leaves the home in --out=~/x
                name: output_path(value) if isinstance(value, Path) else value
                for name, value in ctx.params.items()
            }
            with machine_errors():
                return super().invoke(ctx)
        except UserError as error:
            if isinstance(error.__cause__, BrokenPipeError):  # nobody reads on; typer ends it
                raise error.__cause__ from None
            flags = {option.name: option.opts[0] for option in self.params if option.opts[0].startswith("-")}
            typer.echo(f"narsfast: {with_flags(str(error), _ADVISED | flags)}", err=True)
            raise typer.Exit(1) from None
        except (
            typer.BadParameter
        ) as error:  # of options that do not go together; shown as typer shows its own
            raise typer.BadParameter(error.message, ctx, param_hint=error.param_hint) from None


class Commands(typer.core.TyperGroup):
    """Ends at a signal with one sentence and exit code 130, 143 or 129 (SIGHUP), and takes old names of commands."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that the arguments begin with."""
        return super().resolve_command(ctx, present_command(args, quiet=ctx.resilient_parsing))

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            number = interrupt.signal if isinstance(interrupt, Ended) else signal.SIGINT
            with suppress(OSError):  # a terminal that is gone
                typer.echo("narsfast: stopped; the same command resumes from here", err=True)
            raise typer.Exit(128 + number) from None
