"""What all commands have in common: one sentence for a mistake, and the names that were in use before."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import typer
import typer.core

from narsfast.common.files import expanded
from narsfast.common.machine import machine_errors
from narsfast.errors import UserError

from ._messages import with_flags
from ._renamed import present_command, present_options


class Terminated(KeyboardInterrupt):
    """The process got SIGTERM."""


class Command(typer.core.TyperCommand):
    """Ends a mistake of the user or a trouble of the machine with one sentence and exit code 1.

    It takes old names of options, too.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments after putting present names in the place of old ones."""
        return super().parse_args(ctx, present_options(self.name, args, quiet=ctx.resilient_parsing))

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            ctx.params = {name: self._at_home(name, value) for name, value in ctx.params.items()}
            with machine_errors():
                return super().invoke(ctx)
        except UserError as error:
            if isinstance(error.__cause__, OSError) and _output_fails():
                raise error.__cause__ from None
            flags = {option.name: option.opts[0] for option in self.params if option.opts[0].startswith("-")}
            typer.echo(f"narsfast: {with_flags(str(error), flags)}", err=True)
            raise typer.Exit(1) from None

    def _at_home(self, name: str, value: Any) -> Any:
        """Expand a leading ``~``, which a shell leaves in ``--out=~/x``."""
        if not isinstance(value, Path) or not str(value).startswith("~"):
            return value
        path = expanded(value)
        if path == value:
            raise UserError(
                f"{name} is {value}; no user of that name has a home here, so write ./{value} or another path"
            )
        return path


def _output_fails() -> bool:
    try:
        sys.stdout.flush()
    except OSError:
        return True
    return False


class Commands(typer.core.TyperGroup):
    """Ends Ctrl-C and SIGTERM with one sentence and exit code 130 or 143, and takes old names of commands."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that the arguments begin with."""
        return super().resolve_command(ctx, present_command(args, quiet=ctx.resilient_parsing))

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            typer.echo("narsfast: stopped; the same command resumes from here", err=True)
            raise typer.Exit(143 if isinstance(interrupt, Terminated) else 130) from None
