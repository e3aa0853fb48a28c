"""What mkdocs does beside its plugins: pages from elsewhere in the repository, links between them, and the commands.

README, ARCHITECTURE and others are written for readers of the repository and are pages of the site too. A link between
two such files is written as a path in the repository, so that it works there; here it becomes a path in the site. The
page on the commands is what their help says.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "bench/README.md": "bench.md",
    "docker/README.md": "docker.md",
}
"""Files of the repository that are pages, and where in the site."""
COMMANDS = "reference/commands.md"

_LINK = re.compile(r"(?<=\]\()([^)#\s]+)(?=[)#])")
_CODE = re.compile(r"^(```.*?^```$|    .*?$)", re.M | re.S)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from elsewhere, and the files that they link to."""
    for source, place in PAGES.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    files.append(File.generated(config, COMMANDS, content=_commands_page()))
    for page in files.documentation_pages():
        source = _source(page.src_uri)
        for target in _targets(source, page.content_string):
            if (
                not _is_page(target)
                and files.get_file_from_path(_place(target)) is None
                and (ROOT / target).is_file()
            ):
                files.append(File.generated(config, _place(target), abs_src_path=str(ROOT / target)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages of the site."""
    here = page.file.src_uri
    source = _source(here)

    def moved(match: re.Match[str]) -> str:
        target = _target(source, match[0])
        return (
            match[0] if target is None else posixpath.relpath(_place(target), posixpath.dirname(here) or ".")
        )

    parts = _CODE.split(markdown)
    parts[::2] = [_LINK.sub(moved, part) for part in parts[::2]]
    return "".join(parts)


def _source(place: str) -> str:
    """Return the path in the repository of a page of the site."""
    return next((source for source, page in PAGES.items() if page == place), f"docs/{place}")


def _place(target: str) -> str:
    """Return the path in the site of a file of the repository."""
    return PAGES.get(target, target.removeprefix("docs/"))


def _is_page(target: str) -> bool:
    return target in PAGES or (target.startswith("docs/") and target.endswith(".md"))


def _target(source: str, link: str) -> str | None:
    """Return the file of the repository that a link names, the README of a folder; None where it is an address."""
    if ":" in link:
        return None
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    return f"{target}/README.md" if (ROOT / target).is_dir() else target


def _targets(source: str, markdown: str) -> set[str]:
    text = "".join(_CODE.split(markdown)[::2])
    return {target for link in _LINK.findall(text) if (target := _target(source, link)) is not None}


def _commands_page() -> str:
    """Return the reference of the command line: every command with its arguments and options, by their panels."""
    import typer

    from narsfast.cli import app

    parts = [
        "# Commands",
        "What `narsfast COMMAND --help` shows. `narsfast --install-completion` completes names in a shell.",
    ]
    for name, command in _commands(typer.main.get_command(app), "narsfast"):
        parts += [f"## {name}", escape(command.help)]
        shown = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
        for panel, parameters in groupby(
            shown, lambda parameter: getattr(parameter, "rich_help_panel", None)
        ):
            rows = "".join(map(_row, parameters))
            parts += [f"**{panel}**"] if panel else []
            parts += ["| name | what |\n| --- | --- |\n" + rows]
    return "\n\n".join(parts) + "\n"


def _commands(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{prefix} {name}")
        elif not command.hidden:
            yield f"{prefix} {name}", command


def _row(parameter: Any) -> str:
    option = parameter.param_type_name == "option"
    names = (
        [*parameter.opts, *parameter.secondary_opts]
        if option
        else [parameter.metavar or parameter.name.upper()]
    )
    cell = escape(parameter.help or "", quote=False).replace("|", "\\|")
    return f"| {', '.join(f'`{name}`' for name in names)} | {cell} |\n"
