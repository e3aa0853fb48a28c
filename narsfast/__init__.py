"""Small, accurate vision networks and the recipes that train them, for many budgets from one run."""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from warnings import warn

if TYPE_CHECKING:
    from .arch import Definition as Definition
    from .arch import NetworkSpec as NetworkSpec
    from .arch import Parent as Parent
    from .arch import create_model as create_model
    from .arch import load_pretrained as load_pretrained
    from .arch import zoo as zoo
    from .common.candidate import Candidate as Candidate
    from .common.trial import EpochMetrics as EpochMetrics
    from .common.trial import Trial as Trial
    from .cost import Budget as Budget
    from .data import Dataset as Dataset
    from .emit import load as load
    from .emit import load_transform as load_transform
    from .errors import UserError as UserError
    from .pipeline import FoundNetwork as FoundNetwork
    from .pipeline import Run as Run
    from .pipeline import emit as emit
    from .pipeline import evolve as evolve
    from .pipeline import open_search as open_search
    from .pipeline import optimize as optimize
    from .pipeline import pareto as pareto
    from .pipeline import pretrain as pretrain
    from .pipeline import search as search
    from .pipeline import train as train
    from .runs import Executor as Executor
    from .space import Categorical as Categorical
    from .space import Fixed as Fixed
    from .space import IntRange as IntRange
    from .space import Recipe as Recipe
    from .space import Space as Space
    from .space import builtin_spaces as builtin_spaces
    from .space import load_space as load_space
    from .space import recipe_spaces as recipe_spaces

__version__ = "0.2.0"

# Where each public name lives. Loaded on first use, so that `import narsfast` alone stays light. `emit` and `search` are
# packages that are functions, too: narsfast/common/callable_package.py.
_HOMES = {
    "Budget": "cost",
    "Candidate": "common.candidate",
    "Categorical": "space",
    "Dataset": "data",
    "Definition": "arch",
    "EpochMetrics": "common.trial",
    "Executor": "runs",
    "Fixed": "space",
    "FoundNetwork": "pipeline",
    "IntRange": "space",
    "NetworkSpec": "arch",
    "Parent": "arch",
    "Recipe": "space",
    "Run": "pipeline",
    "Space": "space",
    "Trial": "common.trial",
    "UserError": "errors",
    "builtin_spaces": "space",
    "create_model": "arch",
    "load": "emit",
    "load_pretrained": "arch",
    "load_space": "space",
    "load_transform": "emit",
    "open_search": "pipeline",
    "pretrain": "pipeline",
    "optimize": "pipeline",
    "evolve": "pipeline",
    "pareto": "pipeline",
    "train": "pipeline",
    "recipe_spaces": "space",
    "zoo": "arch",
}
_PACKAGES = [
    "arch",
    "cli",
    "common",
    "cost",
    "data",
    "emit",
    "errors",
    "ops",
    "pipeline",
    "predictor",
    "report",
    "runs",
    "search",
    "space",
    "training",
]

__all__ = [
    "Budget",
    "Candidate",
    "Categorical",
    "Dataset",
    "Definition",
    "Executor",
    "Fixed",
    "FoundNetwork",
    "IntRange",
    "NetworkSpec",
    "Parent",
    "Recipe",
    "Run",
    "Space",
    "Trial",
    "UserError",
    "builtin_spaces",
    "create_model",
    "emit",
    "evolve",
    "load",
    "load_pretrained",
    "load_space",
    "load_transform",
    "open_search",
    "optimize",
    "pareto",
    "pretrain",
    "recipe_spaces",
    "search",
    "train",
    "zoo",
]

if find_spec("narsfast._native") is None:
    raise ImportError(
        f"{__path__[0]} is the source folder of narsfast, without its compiled module, and Python found it before the "
        "installed package: start Python in another folder, or install in place by `pip install -e .`"
    )


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"narsfast.{_HOMES[name]}"), name)
    if name == "create":
        warn(
            "narsfast.create is now narsfast.create_model (narsfast.arch.create has features_only); the old name works "
            "in version 0.2 only",
            FutureWarning,
            stacklevel=2,
        )
        return import_module("narsfast.arch").create
    if name in _PACKAGES:
        return import_module(f"narsfast.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
