"""What all commands have in common: one sentence for a mistake, and the names that were in use before."""

from __future__ import annotations

from typing import Any

import typer
import typer.core

from narsfast.errors import UserError

from ._messages import with_flags
from ._renamed import present_command, present_options


class Command(typer.core.TyperCommand):
    """Ends a mistake of the user with one sentence and exit code 1, and takes old names of options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments after putting present names in the place of old ones."""
        return super().parse_args(ctx, present_options(self.name, args, quiet=ctx.resilient_parsing))

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except UserError as error:
            flags = {option.name: option.opts[0] for option in self.params if option.opts[0].startswith("-")}
            typer.echo(f"narsfast: {with_flags(str(error), flags)}", err=True)
            raise typer.Exit(1) from None


class Commands(typer.core.TyperGroup):
    """Ends Ctrl-C with one sentence and exit code 130, and takes old names of commands."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that the arguments begin with."""
        return super().resolve_command(ctx, present_command(args, quiet=ctx.resilient_parsing))

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("narsfast: stopped; the same command resumes from here", err=True)
            raise typer.Exit(130) from None
