"""The command line: parses and prints, nothing else."""

from __future__ import annotations

from typing import Any

import typer
import typer.core

from narsfast.errors import UserError

from ._doctor import doctor
from ._inspect import best, export, report, space, status, zoo
from ._latency import latency
from ._networks import scale, with_recipe
from ._pareto import pareto
from ._stages import emit, evolve, optimize, pretrain, resume, run, train_run


class _Commands(typer.core.TyperGroup):
    """Ends a mistake of the user with one sentence and exit code 1, and Ctrl-C with 130."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            typer.echo(f"narsfast: {error}", err=True)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            typer.echo("narsfast: stopped; the same command goes on from here", err=True)
            raise typer.Exit(130) from None


app = typer.Typer(
    name="narsfast",
    cls=_Commands,
    help="Find small, accurate vision networks together with the recipe that trains them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)

app.add_typer(latency, name="latency")
for command in (
    run,
    pretrain,
    optimize,
    evolve,
    pareto,
    doctor,
    with_recipe(train_run),
    scale,
    emit,
    resume,
    status,
    best,
    report,
    export,
    zoo,
    space,
):
    app.command()(command)


def main() -> None:
    """Entry point of the `narsfast` command."""
    app()
