"""Spaces from YAML files, and the built-in ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from narsfast.errors import UserError

from ._document import parse_document
from ._space import Space

_BUILTIN = resources.files("narsfast.space") / "builtin"


def builtin_spaces() -> tuple[str, ...]:
    """Names that `load_space` knows without a file."""
    names = (entry.name for entry in _BUILTIN.iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


def load_space(name_or_path: str | Path, overrides: Mapping[str, Any] | None = None) -> Space:
    """A built-in space by name, or one from a YAML (or JSON) file.

    Args:
        name_or_path: ``fbnetv3``, ``mobile``, ``tiny``, or a path.
        overrides: new ranges, as `Space.override` takes them.

    Raises:
        UserError: no such space, or the file is wrong: one sentence with field, value and remedy.
    """
    text, source = _read(name_or_path)
    try:
        data = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" in line {where.line + 1}" if where else ""
        problem = getattr(error, "problem", None) or str(error)
        raise UserError(f"{source}: not readable as YAML{line}: {problem}") from None
    space = Space(parse_document(data, source), source, strict=True)
    return space.override(overrides) if overrides else space


def _read(name_or_path: str | Path) -> tuple[str, str]:
    path = Path(name_or_path)
    if isinstance(name_or_path, str) and name_or_path in builtin_spaces():
        return (_BUILTIN / f"{name_or_path}.yaml").read_text(encoding="utf-8"), name_or_path
    try:
        return path.read_text(encoding="utf-8"), path.name
    except (OSError, UnicodeDecodeError):
        known = ", ".join(builtin_spaces())
        raise UserError(
            f"the space is {str(name_or_path)!r}; it must be a readable YAML file or one of {known}"
        ) from None


class _Loader(yaml.SafeLoader):
    """Safe YAML that reads ``1e-5`` as a number and refuses keys given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping whose keys differ."""
        seen = set()
        for key_node, _ in node.value:
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key_node.value!r} is given twice, keep one", key_node.start_mark
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)
