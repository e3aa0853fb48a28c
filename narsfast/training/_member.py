"""One of the processes of a trial, as torchrun starts it: see `_processes`."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

from narsfast.errors import UserError

from ._processes import answer, end_with, tell_progress
from ._ranks import process_group
from ._trial import run_trial


def main(name: str) -> None:
    """Trains the task in the folder `name` and says there what became of it."""
    folder = Path(name)
    driver, task = pickle.loads((folder / "task").read_bytes())
    end_with(driver)
    try:
        with process_group(task.settings.device) as ranks:
            report = (lambda share: tell_progress(folder, share)) if ranks.rank == 0 else None
            trial = run_trial(task, report)
            answer(folder, ranks.rank, trial)
            if trial.outcome not in ("ok", "diverged"):
                os._exit(1)  # the others wait for this process; torchrun ends them
    except UserError as error:
        answer(folder, int(os.environ["RANK"]), error)
        os._exit(1)
