"""Jobs of Slurm that are put back in the queue when they are stopped."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from narsfast.errors import UserError

JOB = "SLURM_JOB_ID"

Requeue = Annotated[
    bool,
    typer.Option(
        "--requeue",
        help="In a job of Slurm: put the job back in the queue when a signal stops the command, as at the end of its "
        "time or where another job takes its place. It then goes on.",
    ),
]


@contextmanager
def requeued_when_stopped(wanted: bool) -> Iterator[None]:
    """Put the job back in the queue where a signal ends the block.

    Args:
        wanted: Whether the user asked for that.

    Raises:
        UserError: This is no job of Slurm, or its `scontrol` is not there, which is said before the block begins; or
            Slurm refuses.
    """
    if not wanted:
        yield
        return
    job = os.environ.get(JOB)
    if not job:
        raise UserError(f"requeue is given, and {JOB} is not set: this is no job of Slurm; leave requeue out")
    if shutil.which("scontrol") is None:
        raise UserError(
            "requeue is given, and scontrol is not on the PATH; leave requeue out, or put it there"
        )
    try:
        yield
    except KeyboardInterrupt:
        answer = subprocess.run(
            ["scontrol", "requeue", job],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if answer.returncode:
            said = " ".join(answer.stderr.split()) or f"exit code {answer.returncode}"
            raise UserError(
                f"requeue: Slurm did not put job {job} back in the queue ({said}); submit it again, and it goes on"
            ) from None
        typer.echo(f"narsfast: job {job} is in the queue again", err=True)
        raise
