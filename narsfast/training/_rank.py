"""One of the processes of a trial, as torchrun starts it: see `_processes`."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

from narsfast.errors import UserError

from ._process_group import process_group
from ._processes import exit_with, write_answer, write_progress
from ._trial import run_trial


def main(name: str) -> None:
    """Train the task in the folder `name`, and write the result there."""
    folder = Path(name)
    driver, task = pickle.loads((folder / "task").read_bytes())
    exit_with(driver)
    try:
        with process_group(task.settings.device) as group:
            report = (lambda share: write_progress(folder, share)) if group.rank == 0 else None
            trial = run_trial(task, report)
            write_answer(folder, group.rank, trial)
            if trial.outcome not in ("ok", "diverged"):
                os._exit(1)  # the others wait for this process; torchrun ends them
    except UserError as error:
        write_answer(folder, int(os.environ["RANK"]), error)
        os._exit(1)
