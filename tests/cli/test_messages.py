"""The library names fields, the command line its flags."""

import ast
from pathlib import Path

import pytest
import typer

from narsfast import cli
from narsfast.cli._messages import with_flags

PACKAGE = Path(cli.__file__).parents[1]
FLAGS = {"pool_size": "--pool-size", "workers": "--workers", "budgets": "--budget"}


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        ("pool_size is 3; give more", "--pool-size is 3; give more"),
        ("budgets: none is there", "--budget: none is there"),
        ("budgets 'macs' should be", "--budget 'macs' should be"),
        ("lost: begin with fewer `workers`", "lost: begin with fewer --workers"),
        ("give `budgets`, or `largest`", "give --budget, or `largest`"),
        ("the workers are gone", "the workers are gone"),
        ("workers_count is 3", "workers_count is 3"),
        ("resolution is 3; fix it", "resolution is 3; fix it"),
    ],
)
def test_fields_become_flags(sentence, shown):
    assert with_flags(sentence, FLAGS) == shown


def all_flags():
    found = set()
    commands = [typer.main.get_command(cli.app)]
    for command in commands:
        commands += getattr(command, "commands", {}).values()
        found |= {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)}
    return {flag for flag in found if flag.startswith("--")}


def test_no_text_of_the_library_names_a_flag():
    flags = all_flags()
    assert "--trial-timeout" in flags
    for file in PACKAGE.rglob("*.py"):
        if PACKAGE / "cli" in file.parents:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                words = node.value.replace("`", " ").replace("=", " ").split()
                named = {word.strip(".,;:()'\"") for word in words} & flags
                assert not named, f"{file}:{node.lineno} names {named}"
