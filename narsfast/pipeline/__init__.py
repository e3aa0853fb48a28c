"""What joins the packages to a search: configuration, opening a run, the stages, single networks."""

from typing import Any
from warnings import warn

from ._api import search
from ._ask_tell import AskedCandidate
from ._config import RunConfig, resolve_config
from ._open import open_search
from ._own import Own
from ._parents import children_space
from ._reference_networks import STANDARD_RECIPE
from ._resume import Resume
from ._run import FoundNetwork, Run, TrialRow
from ._search import Search
from ._stages import emit, evolve, optimize, pareto, pretrain, run, train
from ._standalone import fine_tune, measure_latency, scale_network, train_with_recipe

__all__ = [
    "STANDARD_RECIPE",
    "AskedCandidate",
    "FoundNetwork",
    "Own",
    "Resume",
    "Run",
    "RunConfig",
    "Search",
    "TrialRow",
    "children_space",
    "emit",
    "evolve",
    "fine_tune",
    "measure_latency",
    "open_search",
    "optimize",
    "pareto",
    "pretrain",
    "resolve_config",
    "run",
    "scale_network",
    "search",
    "train",
    "train_with_recipe",
]


def __getattr__(name: str) -> Any:
    if name == "optimise":
        warn("optimise is now optimize; the old name works in version 0.2 only", FutureWarning, stacklevel=2)
        return optimize
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
