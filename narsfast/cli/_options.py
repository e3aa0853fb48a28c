"""Options of commands: those of a run come from `narsfast.common.options.RUN_OPTIONS`."""

from __future__ import annotations

import ast
import functools
import inspect
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from rich.markup import escape

from narsfast.common.options import RUN_OPTIONS, RunOption
from narsfast.errors import UserError

RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory, as made by `narsfast run`.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]

_FLAGS = {"budgets": "--budget", "baselines": "--baseline", "pool_bounds": "--pool"}
"""Flags that are not the names of their options; one that is given again is in the singular."""


def flag(name: str) -> str:
    """Return the flag of an option by the option's name."""
    return _FLAGS.get(name, f"--{name.replace('_', '-')}")


def help_text(description: str, default: str = "") -> str:
    """Return a help text with its default, as rich should show it."""
    return escape(description + (f" [default: {default}]" if default else ""))


def takes(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command options of a run; it is called with those that the user gave, as keywords.

    Args:
        names: Of the options, in the order of help.
    """
    added = [_parameter(RUN_OPTIONS[name]) for name in names]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in inspect.signature(command, eval_str=True).parameters.values()
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD
        ]

        @functools.wraps(command)
        def called(**values: Any) -> None:
            given = {name: value for name in names if (value := values.pop(name)) not in (None, [], ())}
            if "fix" in given:
                given["fix"] = _assignments(given["fix"])
            command(**values, **given)

        parameters = [*own, *added]
        called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return called

    return decorate


def _parameter(option: RunOption) -> inspect.Parameter:
    """Make typer's parameter: None is that the user did not say, which a run that is resumed may answer otherwise."""
    kind, repeated = _type_on_a_command_line(option.type)
    says_no = kind is bool
    name = flag(option.name)
    shown = (name if option.default else f"--no-{name[2:]}") if says_no else option.stated_default()
    text = option.description + (" May be given again." if repeated else "")
    information = typer.Option(
        f"{name}/--no-{name[2:]}" if says_no else name,
        help=help_text(text, shown),
        metavar=option.metavar,
        min=option.minimum,
        max=option.maximum,
        rich_help_panel=option.panel,
    )
    annotation = Annotated[list[kind] | None if repeated else kind | None, information]  # type: ignore[valid-type]
    return inspect.Parameter(option.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _type_on_a_command_line(kind: Any) -> tuple[Any, bool]:
    """Return the type of one value, and whether there may be several; a mapping is given as FIELD=VALUE."""
    if get_origin(kind) in (Union, UnionType):
        (kind,) = (part for part in get_args(kind) if part is not NoneType)
    if get_origin(kind) in (None, Literal):
        return kind, False
    return str, True


def _assignments(texts: Sequence[str]) -> dict[str, Any]:
    """Read texts FIELD=VALUE."""
    fixed: dict[str, Any] = {}
    for text in texts:
        name, separator, value = (part.strip() for part in text.partition("="))
        if not (name and separator and value):
            raise UserError(f"fix: {text!r} is not FIELD=VALUE, as in resolution=64")
        if name in fixed:
            raise UserError(f"fix: {name} is given twice, as {fixed[name]!r} and {value!r}; give it once")
        fixed[name] = _value(value)
    return fixed


def _value(text: str) -> Any:
    """Read a value as JSON, else as Python writes it (``True``, ``.001``), else as text."""
    for read in (json.loads, ast.literal_eval):
        with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            return read(text)
    return text
