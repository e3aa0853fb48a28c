"""Plans for a given time: how many trials of which length, and how long the final trainings are.

The search has `SEARCH_SHARE` of the time, the race and the final trainings have the rest. All values are this project's
choice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from narsfast.common.duration import duration_text
from narsfast.errors import UserError

from ._race import SHARE, TO_THE_END

SEARCH_SHARE = 0.6
FEWEST, MOST = 12, 96
"""Trials below which they are made shorter, and above which they are made longer."""
AT_LEAST = 4
SHORTEST, LONGEST = 2, 3
"""Epochs of a trial at least, and at most as a multiple of the usual number."""
LONGEST_FINAL = 4
"""Epochs of a final training at most, as a multiple of the usual number."""
SHORTEST_FINAL = 3
BATCHES = 3

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Costs:
    """What trainings take on this machine, with all workers at work.

    Seconds per image of a training step are ``constant + macs * M + layers * L``, for M multiply-adds and L layers.

    Attributes:
        constant: Seconds.
        macs: Seconds.
        layers: Seconds.
        evaluation: Of an image that is evaluated, as a share of one that is trained.
        setup: Seconds of a training besides.
    """

    constant: float
    macs: float
    layers: float
    evaluation: float
    setup: float

    @classmethod
    def fitted(
        cls, macs: ArrayLike, layers: ArrayLike, steps: ArrayLike, evaluations: ArrayLike, setups: ArrayLike
    ) -> Costs:
        """Fit the costs to measured networks: all arguments are (n,), the last three in seconds.

        No coefficient is below 0, and relative errors count.
        """
        from scipy.optimize import nnls

        seconds = np.asarray(steps, np.float64)
        inputs = np.stack([np.ones(len(seconds)), np.asarray(macs), np.asarray(layers)], axis=1)
        scale = np.maximum(inputs.max(axis=0), 1e-12)
        found = nnls(inputs / scale / seconds[:, None], np.ones(len(seconds)))[0] / scale
        share = float(np.median(np.asarray(evaluations) / seconds))
        constant, per_mac, per_layer = found.tolist()
        return cls(constant, per_mac, per_layer, share, float(np.mean(np.asarray(setups, np.float64))))

    def epoch(self, macs: ArrayLike, layers: ArrayLike, train: int, val: int) -> Floats:
        """Return the seconds of an epoch with its validation for networks of these statistics, (n,)."""
        image = self.constant + self.macs * np.asarray(macs, np.float64) + self.layers * np.asarray(layers)
        seconds: Floats = image * (train + self.evaluation * val)
        return seconds


@dataclass(frozen=True)
class Schedule:
    """The values of options that a plan has chosen.

    Attributes:
        trials_per_batch: As the option.
        iterations: As the option.
        epochs: As the option.
    """

    trials_per_batch: int
    iterations: int
    epochs: int


def search_schedule(
    seconds: float,
    epoch: float,
    setup: float,
    workers: int,
    usual: Mapping[str, int],
    free: Sequence[str],
    most: int,
) -> Schedule:
    """Choose how many trials of which length fill the time of the search.

    Args:
        seconds: For the search.
        epoch: Seconds of an epoch of a trial, on average.
        setup: Seconds of a trial besides.
        workers: Trials at once.
        usual: The three options as they are without a plan, or as the user gave them.
        free: Which of them the plan may choose.
        most: Trials at most.

    Raises:
        UserError: The time is too short.
    """

    def count(epochs: int) -> int:
        return int(workers * seconds / (setup + epochs * epoch))

    epochs = usual["epochs"]
    if "epochs" in free:
        wanted = range(SHORTEST, max(SHORTEST, LONGEST * epochs) + 1)
        if count(epochs) < FEWEST:
            epochs = max((e for e in wanted if count(e) >= FEWEST), default=SHORTEST)
        elif count(epochs) > MOST:
            epochs = min((e for e in wanted if count(e) <= MOST), default=wanted[-1])
    trials = min(count(epochs), most)
    least = AT_LEAST * (setup + epochs * epoch) / workers / SEARCH_SHARE
    if trials < AT_LEAST:
        raise UserError(
            f"time is too short: {AT_LEAST} trials of {epochs} epochs alone take a run of about "
            f"{duration_text(1.1 * least)} here; give more time, or smaller networks or images"
        )
    iterations = usual["iterations"]
    if "iterations" in free:
        iterations = BATCHES if trials >= FEWEST else 2
    batch = usual["trials_per_batch"]
    if "trials_per_batch" in free:
        batch = max(2, trials // iterations)
        batch -= batch % workers if batch >= 2 * workers else 0
    elif "iterations" in free:
        iterations = max(1, trials // batch)
    return Schedule(batch, iterations, epochs)


def final_epochs(
    seconds: float, epochs: Sequence[Sequence[float]], others: Sequence[float], workers: int, usual: int
) -> int:
    """Choose how long final trainings are, so that the race and they fill the time.

    Args:
        seconds: For all of them.
        epochs: For each budget, the seconds of an epoch of each of its finalists.
        others: The same of trainings beside the race: baselines, and a teacher.
        workers: Trainings at once.
        usual: Their number of epochs without a plan.
    """

    def needed(length: int) -> float:
        first = math.ceil(SHARE * length)
        begun = [first * cost for costs in epochs for cost in costs]
        going = [(length - first) * max(costs) for costs in epochs for _ in costs[:TO_THE_END]]
        return (
            _makespan(begun, workers)
            + _makespan(going, workers)
            + _makespan([length * c for c in others], workers)
        )

    lengths = range(SHORTEST_FINAL, LONGEST_FINAL * usual + 1)
    return max((length for length in lengths if needed(length) <= seconds), default=SHORTEST_FINAL)


def _makespan(seconds: Sequence[float], workers: int) -> float:
    """Return how long trainings take, given in this order to whoever is free."""
    free = np.zeros(workers)
    for one in seconds:
        free[int(np.argmin(free))] += one
    return float(free.max())
