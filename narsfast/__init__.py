"""Small, accurate vision networks and the recipes that train them, for many budgets from one run."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .arch import create as create
    from .arch import zoo as zoo
    from .emit import load as load

__version__ = "0.1.0"

# Where each public name lives. Loaded on first use, so that `import narsfast` alone stays light.
_HOMES = {
    "create": "narsfast.arch",
    "load": "narsfast.emit",
    "zoo": "narsfast.arch",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
