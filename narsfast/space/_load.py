"""Spaces from YAML files, and the built-in ones."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from narsfast.errors import UserError

from ._document import parse_document
from ._recipe import RENAMED, Recipe
from ._recipe_spaces import widened
from ._space import Space
from ._yaml import read_yaml

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
    space = Space(parse_document(read_yaml(text, source), source), source, strict=True)
    return space.override(overrides) if overrides else space


def with_recipe_space(space: Space, name: str) -> Space:
    """The space with its recipe widened by a built-in recipe space; what could be found before still can.

    Args:
        space: one whose recipe is the built-in trainer's.
        name: ``extended``: every field of `narsfast.space.Recipe` has a choice of values; ``paper``: as it is.

    Raises:
        UserError: no such recipe space, or the recipe has fields of another trainer.
    """
    data = space.to_dict()
    for field in data["recipe"]:
        if RENAMED.get(field, field) not in Recipe.model_fields:
            raise UserError(
                f"recipe_space is {name!r}; {space.name} has the recipe field {field}, which is none of ours"
            )
    data["recipe"] = widened(data["recipe"], name, "recipe_space")
    return Space.from_dict(data)


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


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe from a YAML or JSON file, or from an emitted folder, which has it in recipe.json.

    Raises:
        UserError: the file cannot be read, or holds no recipe.
    """
    path = Path(path).expanduser()
    path = path / "recipe.json" if path.is_dir() else path
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"recipe {str(path)!r} cannot be read ({error.strerror}); give a file of fields and values, or a found "
            "network's folder"
        ) from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        raise UserError(
            f"recipe {str(path)!r} is neither YAML nor JSON{line}; give lines of FIELD: VALUE"
        ) from None
    if not isinstance(values, dict):
        raise UserError(
            f"recipe {str(path)!r} holds {type(values).__name__}; it should hold fields and values"
        )
    return Recipe.of(values)
