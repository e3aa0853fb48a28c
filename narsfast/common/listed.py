"""One value or several, as Python users give them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from narsfast.errors import UserError


def listed(value: Any, single: type | tuple[type, ...], name: str, example: str) -> list[Any]:
    """Return the values of an option that takes several; one alone, such as a text, is a list of one.

    Args:
        value: What was given.
        single: Types of one value.
        name: The option.
        example: One value, for the message.

    Raises:
        UserError: It is neither one value nor several.
    """
    if isinstance(value, single):
        return [value]
    values = [*value] if isinstance(value, Iterable) else [None]
    if not all(isinstance(one, single) for one in values):
        raise UserError(f"{name} is {value!r}; give a list, as in [{example!r}]")
    return values
