"""Every command and option in the documentation is shown by `narsfast --help`."""

import re
from pathlib import Path

import pytest
import typer

from narsfast.cli._app import app

ROOT = Path(__file__).parents[2]
HISTORY = ROOT / "CHANGELOG.md"
"""It names commands and options of earlier versions too."""

PAGES = [page for page in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]) if page != HISTORY]
SCRIPTS = [ROOT / "docker/README.md", ROOT / ".ci/run"]
"""They name options of other programs too."""

CODE = re.compile(r"^```\w*\n(.*?)^```$|`([^`]+)`", re.M | re.S)
COMMAND = re.compile(r"(?:^ *|&& |; |docker run .*)narsfast(?::cpu|:cuda)? ([a-z][^\n|#`]*)", re.M)
OPTION = re.compile(r"`(--[a-z][a-z-]*)")


def shown(command):
    """Return the names of the options that a command's help shows."""
    parameters = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
    return {name for parameter in parameters for name in (*parameter.opts, *parameter.secondary_opts)}


def commands(group, prefix=()):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*prefix, name))
        elif not command.hidden:
            yield (*prefix, name), shown(command)


COMMANDS = dict(commands(typer.main.get_command(app)))


def check(text):
    for line in COMMAND.findall(text.replace("\\\n", " ")):
        words = line.split()
        known = COMMANDS.get(tuple(words[:1]), COMMANDS.get(tuple(words[:2])))
        assert known is not None, line
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_a_page_exist(page):
    text = page.read_text(encoding="utf-8")
    for block, span in CODE.findall(text):
        check(block or span)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_commands_of_a_script_exist(script):
    text = script.read_text(encoding="utf-8")
    assert COMMAND.search(text)
    check(text)


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_options_outside_commands_exist(page):
    text = re.sub(r"python -m bench[^`]*", "", page.read_text(encoding="utf-8"))
    assert set(OPTION.findall(text)) <= set().union(*COMMANDS.values())
