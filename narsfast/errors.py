"""Mistakes of the user, troubles of the machine, and the sentence for a value that pydantic refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class UserError(ValueError):
    """A mistake in what the user gave: one sentence that names the field, the value and the remedy.

    The command line prints the sentence without a traceback and exits with 1.
    """


class MachineError(UserError):
    """What the machine could not do just now: a full disk, lack of memory, data out of reach, a lost process.

    It says nothing about a candidate, and nothing of it is stored: it is tried again a few times, and then by the same
    command.

    Args:
        what: That could not be done, and why.
        remedy: What the user can do about it.
        passing: Whether it may pass by itself, so that trying again makes sense.
    """

    def __init__(self, what: str, remedy: str, passing: bool = True) -> None:
        super().__init__(what, remedy, passing)
        self.what = what
        self.remedy = remedy
        self.passing = passing

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}, then give the same command again"


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
