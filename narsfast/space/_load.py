"""Spaces from YAML files, and the built-in ones."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from narsfast.common.files import expanded
from narsfast.errors import UserError

from ._document import parse_document
from ._recipe import RENAMED, Recipe
from ._recipe_spaces import widened
from ._space import Space
from ._yaml import read_yaml

_BUILTIN = resources.files("narsfast.space") / "builtin"


def builtin_spaces() -> tuple[str, ...]:
    """Return the names of the built-in spaces."""
    names = (entry.name for entry in _BUILTIN.iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


def load_space(name_or_path: str | Path, overrides: Mapping[str, Any] | None = None) -> Space:
    """Load a built-in space by name, or one from a YAML (or JSON) file.

    Args:
        name_or_path: A name of `builtin_spaces` (such as ``fbnetv3``), or a path.
        overrides: New ranges, as `Space.override` takes them.

    Raises:
        UserError: There is no such space, or the file is wrong; one sentence with field, value and remedy.
    """
    text, source = _read(name_or_path)
    document = parse_document(read_yaml(text, source), source)
    space = Space.from_document(document, source, strict=True)
    return space.override(overrides) if overrides else space


def with_recipe_space(space: Space, name: str) -> Space:
    """Widen the recipe of a space by a built-in recipe space; every candidate of before remains possible.

    Args:
        space: A space whose recipe is one of the built-in trainer.
        name: ``extended`` (every field of `narsfast.space.Recipe` has a choice of values) or ``paper`` (no change).

    Raises:
        UserError: There is no such recipe space, or the recipe has fields of another trainer.
    """
    data = space.to_dict()
    for field in data["recipe"]:
        if RENAMED.get(field, field) not in Recipe.model_fields:
            raise UserError(
                f"recipe_space is {name!r}; it widens recipes of the built-in trainer only, and {space.name} has the "
                f"recipe field {field}"
            )
    data["recipe"] = widened(data["recipe"], name, "recipe_space")
    return Space.from_dict(data)


def _read(name_or_path: str | Path) -> tuple[str, str]:
    path = Path(name_or_path)
    if isinstance(name_or_path, str) and name_or_path in builtin_spaces():
        return (_BUILTIN / f"{name_or_path}.yaml").read_text(encoding="utf-8"), name_or_path
    try:
        return path.read_text(encoding="utf-8"), path.name
    except (OSError, UnicodeDecodeError) as error:
        why = "no text in UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        known = ", ".join(builtin_spaces())
        raise UserError(
            f"the space is {str(name_or_path)!r} ({why}); it must be a readable YAML file or one of {known}"
        ) from None


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe from a YAML or JSON file, or from the recipe.json of an emitted folder.

    Raises:
        UserError: The file cannot be read or does not contain a recipe.
    """
    path = expanded(path)
    path = path / "recipe.json" if path.is_dir() else path
    source = f"recipe {str(path)!r}"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{source} cannot be read ({error.strerror}); give a file of fields and values, or a found network's folder"
        ) from None
    except UnicodeDecodeError:
        raise UserError(f"{source} is no text in UTF-8; give lines of FIELD: VALUE") from None
    values = read_yaml(text, source)
    if not isinstance(values, dict):
        kinds = "empty" if values is None else "a list" if isinstance(values, list) else f"{values!r:.40}"
        raise UserError(f"{source} is {kinds}; write fields and values, such as learning_rate: 0.01")
    return Recipe.of(values)
