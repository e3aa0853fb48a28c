"""Packages that are also public functions: `narsfast.search(...)` and `narsfast.search.evolve` are both there.

The import system sets the package as an attribute of `narsfast`, in the place of a function of the same name.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class CallablePackage(ModuleType):
    """A package whose call is the function of the same name in `narsfast.pipeline`."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Call the function; `narsfast.pipeline` documents it."""
        return self._function(*arguments, **options)

    @property
    def __wrapped__(self) -> Any:
        """The function, for `inspect.signature` and notebooks."""
        return self._function

    @property
    def _function(self) -> Any:
        return getattr(import_module("narsfast.pipeline"), self.__name__.rpartition(".")[2])


def make_callable(package: str) -> None:
    """Let a package that is being imported be called.

    Args:
        package: Its name, ``__name__``.
    """
    sys.modules[package].__class__ = CallablePackage
