"""Weights of full trainings that are lost before they were used: the trainings are done again."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from narsfast.arch import WEIGHTS_FILE, LostWeightsError, load_weights
from narsfast.common.machine import persistently
from narsfast.runs import Purpose, forget_trial
from narsfast.training import TrialTask

from ._search import Search

_log = logging.getLogger("narsfast.run")


def forget_lost(search: Search, tasks: Iterable[TrialTask], purpose: Purpose) -> set[str]:
    """Forget those of the trainings that ended well and whose weights cannot be loaded, so that they are done again.

    Args:
        search: Of the run.
        tasks: Trainings whose weights are needed; those that the run does not hold have nothing to lose.
        purpose: Of all of them.

    Returns:
        Ids of the candidates whose trainings are forgotten.

    Raises:
        MachineError: The disk fails.
    """
    ended = {trial.candidate for trial in search.store.trials(purpose) if trial.outcome == "ok"}
    lost: set[str] = set()
    for task in tasks:
        if task.candidate not in ended:
            continue
        network, file = task.build(search.data), Path(str(task.output), WEIGHTS_FILE)
        try:
            persistently(partial(load_weights, network, file), f"reading {file}")
        except LostWeightsError as error:
            _log.warning("%s; candidate %s is trained again", error, task.candidate)
            forget_trial(search.store, purpose, task.candidate)
            lost.add(task.candidate)
    return lost
