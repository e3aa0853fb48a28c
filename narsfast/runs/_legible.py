"""Reading what may be damaged: whatever its content makes Python raise becomes one sentence."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from narsfast.common.machine import machine_error
from narsfast.errors import UserError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_T = TypeVar("_T")
_OF_CONTENT = (
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError),
    *(RecursionError, AssertionError, sqlite3.Error),
)
"""What code raises on content that it did not write."""


@contextmanager
def legible(what: str | os.PathLike[str], folder: Path | None = None) -> Iterator[None]:
    """Read stored content in the block.

    Args:
        what: Names what is read.
        folder: Where it lies; see `narsfast.common.machine.machine_error`.

    Raises:
        MachineError: It cannot be reached just now.
        UserError: It is damaged.
    """
    try:
        yield
    except UserError:
        raise
    except _OF_CONTENT as error:
        trouble = machine_error(error, folder) if isinstance(error, sqlite3.Error) else None
        raise (trouble or damaged(what, error)) from error


def damaged(what: str | os.PathLike[str], error: Exception) -> UserError:
    """Return the sentence on content that cannot be understood."""
    said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return UserError(
        f"{os.fspath(what)} is damaged ({said}); put back a copy made by `narsfast backup`, or start another run"
    )


def checked(kind: type[_T], values: Mapping[str, Any]) -> _T:
    """Make a dataclass of values whose types are checked.

    Raises:
        ValueError: A value is not of the type that the dataclass states.
    """
    found: _T = adapter(cast(Any, kind)).validate_python(values)
    return found


@cache
def adapter(kind: Any) -> TypeAdapter[Any]:
    """Return pydantic's check of a type."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)
