"""The built-in recipe spaces, which a space can name in place of recipe fields, be widened by, or be given."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from narsfast.errors import UserError

from ._optimizers import optimizers
from ._recipe import Recipe
from ._spec import FieldSpec
from ._yaml import read_yaml

PAPER = "paper"
FINETUNE = "finetune"
_LISTS = resources.files("narsfast.space") / "builtin" / "recipes"


def recipe_spaces() -> tuple[str, ...]:
    """Return the names of the built-in recipe spaces."""
    names = (entry.name for entry in _LISTS.iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


def recipe_fields(name: str, source: str) -> dict[str, Any]:
    """Return the fields of a built-in recipe space, as a space file would list them.

    Args:
        name: ``paper`` (the fields of FBNetV3's search as recalled), ``extended`` (these, and every other field
            that is for trainings from scratch but ``class_balance``: the search compares by the accuracy of all
            images) or ``finetune`` (for candidates that start from trained weights).
        source: Where the name comes from, for the message.

    Raises:
        UserError: There is no such recipe space.
    """
    _check(name, source, "a mapping of fields or ")
    return dict(_listed(PAPER)) if name == PAPER else widened(_listed(PAPER), name, source)


def default_recipe(name: str) -> Recipe:
    """Return the recipe of a built-in recipe space that is taken where nothing is searched.

    Args:
        name: ``finetune``; one of its recipes, for a training that starts from trained weights.

    Raises:
        UserError: There is no such recipe space, or its fields depend on the data and so have no default.
    """
    _check(name, "recipe_space")
    values = _listed(name).get("default")
    if values is None:
        raise UserError(f"recipe_space is {name!r}, which has no default recipe; {FINETUNE!r} has one")
    return Recipe.of(values)


def widened(fields: Mapping[str, Any], name: str, source: str) -> dict[str, Any]:
    """Merge recipe fields with those of a built-in recipe space; ``paper`` leaves them unchanged.

    By ``extended`` no value is lost: a field of both gets the values of both, or keeps its own where it depends on the
    data. ``finetune`` replaces all fields, as those of a space are for trainings from scratch.

    Args:
        fields: Specs by name, as in a space file.
        name: ``paper``, ``extended`` or ``finetune``.
        source: Where the name comes from, for the message.

    Raises:
        UserError: There is no such recipe space.
    """
    _check(name, source)
    if name == PAPER:
        return dict(fields)
    listed = _listed(name)
    if name == FINETUNE:
        return dict(listed["fields"])
    joined = {field: _joined(fields.get(field), spec) for field, spec in listed["joined"].items()}
    missing = {field: spec for field, spec in listed["missing"].items() if field not in fields}
    return {**fields, **missing, **joined}


def _check(name: str, source: str, forms: str = "") -> None:
    if name not in recipe_spaces():
        raise UserError(f"{source} is {name!r}; it must be {forms}one of {', '.join(recipe_spaces())}")


@cache
def _listed(name: str) -> dict[str, Any]:
    """Return the content of a recipe space's file, with optimizers from their registry."""
    fields: dict[str, Any] = read_yaml((_LISTS / f"{name}.yaml").read_text(encoding="utf-8"), name)
    chosen = [info for info in optimizers() if info.extended]
    for field, spec in fields.get("joined", {}).items():
        if spec == {"choices": "extended"}:
            spec["choices"] = [info.name for info in chosen]
        elif isinstance(spec, dict) and spec.get("when") == {"optimizer": "reading"}:
            spec["when"] = {"optimizer": [info.name for info in chosen if field in info.reads]}
    return fields


def _joined(own: Any, added: Any) -> Any:
    """Return the spec `added` with the values of `own` too: a list, numbers in ascending order."""
    if own is None:
        return added
    more = FieldSpec.model_validate(added)
    values = list(dict.fromkeys((*FieldSpec.model_validate(own).values(), *more.values())))
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        values.sort()
    spec: dict[str, Any] = {"choices": values} if len(values) > 1 else {"value": values[0]}
    return spec | ({} if more.when is None else {"when": more.when})
