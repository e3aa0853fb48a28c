"""Run directories and executors: what keeps a search going, wherever and however often it is interrupted."""

from ._class_results import ClassCounts, ClassResults, ConfusedImage, Confusion
from ._executor import Executor, Report, Task, TrialTimedOut, WorkerLost, run_trials
from ._facts import (
    BaselineResult,
    BestTrial,
    Fact,
    Facts,
    Family,
    Finalist,
    FoundCandidate,
    Origin,
    TeacherChoice,
    TimePlan,
    Worth,
)
from ._in_process import InProcess
from ._legible import legible
from ._passed_over import PassedOver, all_passed_over, passed_over
from ._processes import Processes
from ._records import TUNED, Batch, BatchState, InFlight, PickedCandidate, Purpose, Result, RunState
from ._retry import forget_failed, forget_trial, forget_unpicked
from ._store import RunConflict, RunStore

__all__ = [
    "TUNED",
    "BaselineResult",
    "Batch",
    "BatchState",
    "BestTrial",
    "ClassCounts",
    "ClassResults",
    "ConfusedImage",
    "Confusion",
    "Executor",
    "Fact",
    "Facts",
    "Family",
    "Finalist",
    "FoundCandidate",
    "InFlight",
    "InProcess",
    "Origin",
    "PassedOver",
    "PickedCandidate",
    "Processes",
    "Purpose",
    "Report",
    "Result",
    "RunConflict",
    "RunState",
    "RunStore",
    "Task",
    "TeacherChoice",
    "TimePlan",
    "TrialTimedOut",
    "WorkerLost",
    "Worth",
    "all_passed_over",
    "forget_failed",
    "forget_trial",
    "forget_unpicked",
    "legible",
    "passed_over",
    "run_trials",
]
