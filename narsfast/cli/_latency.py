"""`narsfast latency`: tables of what blocks take on a machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ._commands import Command
from ._options import Json, takes
from ._outputs import writable
from ._progress import progress_bars
from ._tables import print_table

latency = typer.Typer(rich_markup_mode="rich")


@latency.callback()
def _group() -> None:
    """Measure latency tables, which make latency a statistic that can be bounded."""


@latency.command(cls=Command)
@takes("data", "space", "parents", "fix")
def measure(
    out: Annotated[Path, typer.Option(help="The table to write, JSON.")],
    batch_size: Annotated[int, typer.Option(min=1, help="Images at once.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    seconds: Annotated[
        float, typer.Option(min=0, help="Time limit; blocks beyond it are interpolated from those timed.")
    ] = 60.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the choice of blocks and networks.")] = 0,
    as_json: Json = False,
    **options: Any,
) -> None:
    """Time the blocks of a space with torch on this CPU, and check their sums on whole networks.

    Data and space are those of the run that the table is for, with the same defaults.
    """
    from narsfast.pipeline import measure_latency

    out = writable(out)
    with progress_bars() as progress:
        table = measure_latency(
            options,
            batch=batch_size,
            threads=threads,
            seconds=seconds,
            seed=seed,
            progress=progress,
        )
    table.write(out)
    if as_json:
        typer.echo(table.model_dump_json(exclude={"space", "parts", "milliseconds"}))
        return
    print_table(
        table.label(),
        [
            {"blocks": "timed", "number": len(table.parts), "of": table.of},
            {
                "blocks": "median error of interpolated ones",
                "number": _percent(table.part_error),
                "of": "",
            },
            {
                "blocks": "whole networks: median error",
                "number": _percent(table.network_error),
                "of": table.networks,
            },
            {
                "blocks": "whole networks: Spearman",
                "number": "-" if table.network_spearman is None else f"{table.network_spearman:.3f}",
                "of": table.networks,
            },
        ],
    )
    typer.echo(str(out))


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"
