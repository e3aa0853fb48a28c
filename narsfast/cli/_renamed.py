"""Commands and options of version 0.1 by their present names; the old ones work in version 0.2, with a warning."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from narsfast.common.renamed import OLD_FIELDS

from ._options import flag

OLD_OPTIONS = {flag(old): flag(new) for old, new in OLD_FIELDS.items()}
"""The present flag of each renamed option of a run."""

OLD_OPTIONS_OF = {"measure": {"--batch": "--batch-size"}}
"""The present flags of options that one command had, by its name."""

OLD_COMMANDS = {"optimise": "optimize", "export": "backup"}
"""The present name of each renamed command."""

MOVED = {("train", "--model"): "train-model"}
"""The command that does what an old one did when it was given an option."""


def present_command(words: Sequence[str], *, quiet: bool) -> list[str]:
    """Return a command and its arguments with the present name of the command.

    Args:
        words: The name and what follows it.
        quiet: Whether to say nothing of an old name, as while a shell asks for completions.
    """
    name, *arguments = words
    new = OLD_COMMANDS.get(name)
    given = {argument.partition("=")[0] for argument in arguments}
    for (command, option), present in MOVED.items():
        if command == name and option in given:
            name, new = f"{command} {option}", present
    if new is None:
        return list(words)
    if not quiet:
        _warn(name, new)
    return [new, *arguments]


def present_options(command: str | None, arguments: Sequence[str], *, quiet: bool) -> list[str]:
    """Return the arguments of a command with the present names of its options.

    Args:
        command: Its name.
        arguments: What follows the name.
        quiet: Whether to say nothing of old names.
    """
    renamed = OLD_OPTIONS | OLD_OPTIONS_OF.get(command or "", {})
    found, old = [], {}
    for argument in arguments:
        name, separator, value = argument.partition("=")
        if name in renamed:
            old[name] = renamed[name]
        found.append(renamed.get(name, name) + separator + value)
    if not quiet:
        for name, new in old.items():
            _warn(name, new)
    return found


def _warn(old: str, new: str) -> None:
    typer.echo(f"narsfast: {old} is now called {new}; the old name works in version 0.2 only", err=True)
