"""NVIDIA's apex where it is installed, and not the other project that has its name on PyPI."""

from __future__ import annotations

import importlib
import logging
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec
from types import ModuleType
from typing import Literal

from narsfast.errors import UserError

_log = logging.getLogger("narsfast.training")
_EXTENSION = "amp_C"  # the compiled part that every fused optimizer calls

ApexKind = Literal["NVIDIA", "without extensions", "namesake"]
"""What an installed apex is: NVIDIA's, the same without its compiled part, or the unrelated project of PyPI."""


def apex_kind() -> ApexKind | None:
    """Tell what is installed under the name of apex, by its files alone, without running any; None where nothing is."""
    spec = find_spec("apex")
    if spec is None:
        return None
    if PathFinder.find_spec("optimizers", spec.submodule_search_locations or []) is None:
        return "namesake"
    return "NVIDIA" if find_spec(_EXTENSION) else "without extensions"


@cache
def find_apex() -> tuple[ModuleType | None, str]:
    """Return the module ``apex.optimizers`` with its compiled part, or None and why it cannot be used.

    An installed apex that cannot be used is logged, once per process.
    """
    kind, spec = apex_kind(), find_spec("apex")
    if kind is None or spec is None:
        return None, "apex is not installed"
    # a folder without __init__.py has no origin
    place = spec.origin or ", ".join(spec.submodule_search_locations or [])
    if kind == "namesake":
        reason = f"the apex in {place} is another project than NVIDIA's"
    elif kind == "without extensions":
        reason = f"the apex in {place} was installed without its CUDA extensions ({_EXTENSION})"
    else:
        try:
            importlib.import_module(_EXTENSION)
            return importlib.import_module("apex.optimizers"), ""
        except Exception as error:  # an extension that was built for another torch or CUDA raises many types
            said = f"{type(error).__name__}: {error}".splitlines()[0]
            reason = f"the apex in {place} cannot be imported ({said})"
    _log.warning("%s: it is ignored", reason)
    return None, reason


def require_apex(field: str, value: str) -> ModuleType:
    """Return ``apex.optimizers`` of NVIDIA's apex.

    Args:
        field: Setting that asks for it, for the message.
        value: Of that setting, for the message.

    Raises:
        UserError: It cannot be used here.
    """
    module, reason = find_apex()
    if module is None:
        raise UserError(
            f"{field} is {value!r}, but {reason}: install NVIDIA's apex with its CUDA extensions (docker/README.md), "
            "or take another"
        )
    return module
