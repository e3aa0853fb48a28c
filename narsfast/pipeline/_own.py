"""What a Python user may put into a run: own trainings, an own executor, further statistics, data from memory.

None of it can be stored but the data: a run that was made with it is resumed with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import ArrayLike

from narsfast.common.candidate import Candidate
from narsfast.common.trial import Trial
from narsfast.data import Dataset
from narsfast.runs import Executor

Evaluate = Callable[[Sequence[Candidate], int], Iterable[Trial]]
"""Trains candidates for a number of epochs and yields each trial as it ends, in any order."""

Statistic = Callable[[Sequence[Candidate]], ArrayLike]
"""Counts one statistic of n candidates, (n,) numbers; the same candidate always gets the same one."""


@dataclass(frozen=True)
class Own:
    """What the user brings.

    Attributes:
        evaluate: Trains the candidates of the search in the place of narsfast's trainer.
        executor: Where trainings run; it is not shut down.
        statistics: Further statistics by name, which budgets may bound.
        data: Three splits in memory, in the place of a folder.
    """

    evaluate: Evaluate | None = None
    executor: Executor | None = None
    statistics: Mapping[str, Statistic] = field(default_factory=dict)
    data: Dataset | Any | None = None
