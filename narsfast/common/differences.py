"""In what two configurations differ, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

_ABSENT = object()


def differences(stored: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """Names each key (nested ones with dots) whose value differs, with both values; empty when there is none.

    Args:
        stored: JSON types, as read from the run.
        given: JSON types.
    """
    return list(_walk(stored, given, ""))


def _walk(stored: Mapping[str, Any], given: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key in sorted(stored.keys() | given.keys()):
        old, new = stored.get(key, _ABSENT), given.get(key, _ABSENT)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _walk(old, new, f"{prefix}{key}.")
        elif _ABSENT in (old, new) or _canonical(old) != _canonical(new):
            yield f"{prefix}{key} ({_said('stored', old)}, {_said('given', new)})"


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)  # tells true from 1, as == does not


def _said(verb: str, value: Any) -> str:
    return f"not {verb}" if value is _ABSENT else f"{verb} {value!r}"
