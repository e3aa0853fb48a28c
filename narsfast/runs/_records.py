"""What a run stores besides facts and trials: batches of candidates, and the table of results."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Any, Literal

from narsfast.common.early_stopping import EarlyStopping

Purpose = Literal["search", "final", "baseline"]
"""What a trial is for: to learn from, as a found network, or as a known network beside them."""
TUNED = "tuned:"
"""With the name of a parent, the candidate of its fine-tuning, which is among the known networks."""
Value = int | float | str | bool


@dataclass(frozen=True)
class PickedCandidate:
    """One candidate of a batch, with the score that picked it.

    Attributes:
        candidate: Id of the candidate.
        genes: (fields,) the canonical genes.
        architecture: The active architecture values by name.
        recipe: The active recipe values by name.
        score: Accuracy in percent that the predictor expected when it picked the candidate, before any
            training of it; None in the first batch, which no predictor picked.
    """

    candidate: str
    genes: tuple[int, ...]
    architecture: Mapping[str, Value]
    recipe: Mapping[str, Value]
    score: float | None = None

    def __post_init__(self) -> None:
        if self.score is not None and math.isnan(self.score):
            raise ValueError(f"score of candidate {self.candidate} is not a number")


@dataclass(frozen=True)
class Batch:
    """The candidates that one iteration of the optimization trains, in the order picked.

    Attributes:
        index: Number of the iteration, from 0.
        epochs: Epochs each candidate is trained for.
        candidates: In the order picked.
    """

    index: int
    epochs: int
    candidates: tuple[PickedCandidate, ...]


@dataclass(frozen=True)
class Result:
    """One line of the final table: the network found for one budget.

    Attributes:
        budget: Label of the budget.
        candidate: Id of the candidate.
        macs: Multiply-adds of its convolutions and linear layers, one image.
        params: Number of parameters.
        predicted: Accuracy in percent that the predictor expected.
        validation: Accuracy in percent on the validation split.
        test: Accuracy in percent on the test split, measured once.
        directory: Where its files are, relative to the run's directory.
    """

    budget: str
    candidate: str
    macs: int
    params: int
    predicted: float
    validation: float
    test: float
    directory: str

    def __post_init__(self) -> None:
        if PurePath(self.directory).is_absolute():
            raise ValueError(f"directory of a result is relative to the run, got {self.directory}")


@dataclass(frozen=True)
class InFlight:
    """A training that has started and not ended.

    Attributes:
        candidate: Id of the candidate.
        purpose: ``search``, ``final`` or ``baseline``.
        epochs: Epochs asked for.
        since: When it started, in seconds since 1970.
    """

    candidate: str
    purpose: Purpose
    epochs: int
    since: float


@dataclass(frozen=True)
class BatchState:
    """How far a batch is.

    Attributes:
        index: Number of the iteration, from 0.
        epochs: Epochs each candidate is trained for.
        done: Trials that have ended, whatever the outcome.
        expected: Candidates in the batch.
    """

    index: int
    epochs: int
    done: int
    expected: int


@dataclass(frozen=True)
class RunState:
    """Where a run stands, read in one transaction.

    Attributes:
        stage: The stage it is in, None before the first.
        batches: One entry a batch stored.
        early_stop_epoch: None until it is known.
        outcomes: Number of search trials by outcome.
        in_flight: Trainings under way; without a living driver, those that were when it ended.
        finals: Number of final trials that have ended.
        finals_expected: Number of final trials there will be, None until it is known.
        results: Number of results.
        driver: Process id of the living driver, None when nobody drives the run.
        updated: Time of the last write, in seconds since 1970.
        early_stopping: Why it is that epoch; None until it is known, and in runs of versions that did not store it.
    """

    stage: str | None
    batches: tuple[BatchState, ...]
    early_stop_epoch: int | None
    outcomes: Mapping[str, int]
    in_flight: tuple[InFlight, ...]
    finals: int
    finals_expected: int | None
    results: int
    driver: int | None
    updated: float
    early_stopping: EarlyStopping | None = None

    def to_dict(self) -> dict[str, Any]:
        """All of it in JSON types."""
        return asdict(self)
