"""Run directories and executors: what keeps a search going, wherever and however often it is interrupted."""

from ._executor import Executor, Report, Task, TrialTimedOut, WorkerLost, run_trials
from ._in_process import InProcess
from ._processes import Processes
from ._records import Batch, BatchMember, BatchState, InFlight, Purpose, Result, RunState
from ._store import Run, RunConflict

__all__ = [
    "Batch",
    "BatchMember",
    "BatchState",
    "Executor",
    "InFlight",
    "InProcess",
    "Processes",
    "Purpose",
    "Report",
    "Result",
    "Run",
    "RunConflict",
    "RunState",
    "Task",
    "TrialTimedOut",
    "WorkerLost",
    "run_trials",
]
