"""The one exception for mistakes of the user, and the sentence for a value that pydantic refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class UserError(ValueError):
    """A mistake in what the user gave: one sentence that names the field, the value and the remedy.

    The command line prints the sentence without a traceback and exits with 1.
    """


def refusal(error: ValidationError) -> str:
    """Turn pydantic's first complaint into a sentence: the field, its value, what would be right."""
    first = error.errors(include_url=False)[0]
    name, message = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        return f"{name} is missing"
    if first["type"] == "extra_forbidden":
        return f"{name} is {first['input']!r}; there is no such field"
    if message.startswith("Input should"):
        message = f"it must {message.removeprefix('Input should ')}"
    return f"{name} is {first['input']!r}; {message[0].lower()}{message[1:]}"
