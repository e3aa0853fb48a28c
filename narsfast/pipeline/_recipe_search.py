"""A search for the recipe of one network that the user already has: its space, its cost, its emission.

The predictor's architecture side is switched off by the space alone, which has no architecture but a resolution.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from narsfast.arch import (
    NetworkSpec,
    absolute_reference,
    load_parents,
    parse_parent,
    resolve_definition,
    unsupported_recipe_fields,
)
from narsfast.cost import count_network
from narsfast.data import Dataset
from narsfast.errors import UserError
from narsfast.space import PARENT, RESOLUTION, Recipe, Space

from ._parents import described

_log = logging.getLogger("narsfast.model")


def chosen_model(given: Mapping[str, Any], stored: Mapping[str, Any]) -> str | None:
    """Return the reference in the options or the stored configuration, with the absolute path of its file."""
    model = given.get("model", stored.get("model"))
    if model is None:
        return None
    return str(parse_parent(str(model))) if starts_trained(given, stored) else absolute_reference(str(model))


def starts_trained(given: Mapping[str, Any], stored: Mapping[str, Any]) -> bool:
    """Tell whether the one network starts from trained weights, by the options or the stored configuration."""
    said = given.get("pretrained")
    return bool(stored.get("pretrained", False) if said is None else said)


def refuse_bounds(given: Mapping[str, Any]) -> None:
    """Bounds on statistics have no meaning where all candidates are one network.

    Raises:
        UserError: Naming the option.
    """
    for name in ("budgets", "pool_bounds", "latency"):
        if given.get(name):
            raise UserError(
                f"{name} is given with a model; one network has one cost and one result, so leave `{name}` out"
            )


def fine_tuning_space(space: Space, model: str | None, fix: Mapping[str, Any]) -> Space:
    """Reduce a space to its recipes, for one pretrained network at one resolution, its own where `fix` names none.

    The network is a parent all of whose blocks and channels are kept, so that everything about parents holds.

    Args:
        space: Whose recipe fields are searched.
        model: The network, as `narsfast.arch.parse_parent` reads it; None is the one of the space, which is a result
            of this function.
        fix: As in `recipe_space`.

    Raises:
        UserError: There is no such network, it has no weights here, or a fixed value cannot be taken.
    """
    if model is None:
        (known,) = (parent.dump() for parent in space.parents)
        resolution = int(space.values(RESOLUTION)[0])
    else:
        (parent,) = load_parents([model])
        known, resolution = described(parent, model), parent.resolution
    return _reduced(space, known.get("source"), {RESOLUTION: resolution, **fix}, known)


def recipe_space(space: Space, model: str, fix: Mapping[str, Any]) -> Space:
    """Reduce a space to its recipes, for one network at one resolution.

    What the network cannot take is fixed at 0, which is logged once. A resolution that `fix` does not name is a
    definition's own, else the middle one of the space (the lower of two); it need not be one of the space.

    Args:
        space: Whose recipe fields are searched; the result of this function is taken as well.
        model: Reference of the network (`narsfast.arch.create_model`).
        fix: Values of recipe fields, and `resolution` in pixels.

    Raises:
        UserError: There is no such network, or a fixed value cannot be taken.
    """
    given = dict(fix)
    if given.get(RESOLUTION) is None:
        given[RESOLUTION] = _default_resolution(space, model)
    return _reduced(space, model, given)


def _reduced(
    space: Space, model: str | None, fix: Mapping[str, Any], parent: Mapping[str, Any] | None = None
) -> Space:
    """Reduce a space as `recipe_space` does.

    Args:
        space: As there.
        model: What `create_model` builds; None is a definition, which takes every recipe.
        fix: As there, with the resolution.
        parent: The network as a space has its parents, where it starts from trained weights.
    """
    given = dict(fix)
    resolution = given.pop(RESOLUTION)
    if type(resolution) is not int or resolution < 1:
        raise UserError(f"resolution is {resolution!r}; give whole pixels to `fix`, as in resolution=64")
    data = space.to_dict()
    if parent is not None:
        data["name"] = f"{parent['name']} recipes"
    elif space.has_networks:
        data["name"] = f"{space.name} recipes"
    added = {
        name: given.pop(name) for name in fix if name in Recipe.model_fields.keys() - data["recipe"].keys()
    }
    data["recipe"] |= {name: getattr(Recipe.of({name: value}, "fix"), name) for name, value in added.items()}
    data |= {
        "stages": 0,
        "parents": [] if parent is None else [parent],
        "architecture": ({} if parent is None else {PARENT: parent["name"]}) | {RESOLUTION: resolution},
        "pool": {},
        "budgets": [],
    }
    recipes = Space.from_dict(data)
    searched = [name for name in ("drop_path", "dropout") if _above_zero(recipes, name)]
    checked = model is not None and (searched or space.has_networks)
    missing = unsupported_recipe_fields(str(model)) if checked else {}
    for name in missing.keys() & searched:
        if fix.get(name):
            raise UserError(f"{name} is {fix[name]}; {model} {missing[name]}, so leave it out")
        _log.warning("%s is fixed at 0: %s %s", name, model, missing[name])
        recipes = recipes.override({name: 0.0})
    return recipes.fix(given)


def supported_recipes(space: Space, fix: Mapping[str, Any]) -> Space:
    """Leave to each parent of a space what its network can be trained with, which is logged once.

    Definitions take every recipe. A field that no parent can take is fixed at 0.

    Args:
        space: The space; without parents it stays as it is.
        fix: Values that are fixed in it later.

    Raises:
        UserError: A fixed value cannot be taken by any.
    """
    if not space.parents:
        return space
    searched = [name for name in ("drop_path", "dropout") if _above_zero(space, name)]
    reasons: dict[str, dict[str, str]] = {name: {} for name in searched}
    for parent in space.parents if searched else ():
        missing = {} if parent.source is None else unsupported_recipe_fields(parent.source)
        for name in missing.keys() & searched:
            reasons[name][parent.name] = missing[name]
    for name, without in reasons.items():
        able = [parent.name for parent in space.parents if parent.name not in without]
        if not able and fix.get(name):
            parent_name, why = next(iter(without.items()))
            raise UserError(f"{name} is {fix[name]}; {parent_name} {why}, so leave it out")
        for parent_name, why in without.items():
            _log.warning("%s is 0 for %s, which %s", name, parent_name, why)
        if not able:
            space = space.override({name: 0.0})
        elif without:
            data = space.to_dict()
            spec = data["recipe"][name]
            spec = dict(spec) if isinstance(spec, Mapping) else {"value": spec}
            data["recipe"][name] = spec | {"when": {**spec.get("when", {}), PARENT: able}}
            space = Space.from_dict(data)
    return space


def _default_resolution(space: Space, model: str) -> Any:
    if space.has_networks and ":" not in model:
        return resolve_definition(model).resolution
    values = space.values("resolution")
    return values[(len(values) - 1) // 2]


def _above_zero(space: Space, name: str) -> bool:
    known = {field.name for field in space.fields}
    return name in known and any(value != 0 for value in space.values(name))


def network_statistics(spec: NetworkSpec, data: Dataset) -> dict[str, int]:
    """Count what a network costs on images of the data, by the names of the statistics.

    Raises:
        UserError: There is no such network, or it cannot take images of the data at its resolution.
    """
    network = spec.build(len(data.classes), data.in_chans)
    try:
        return count_network(network, data.in_chans, spec.resolution, len(data.classes))
    except UserError:
        raise
    except Exception as error:  # whatever a network raises on a size that it cannot take
        raise UserError(
            f"model {spec.name} cannot take images of {data.in_chans} x {spec.resolution} x {spec.resolution} "
            f"({type(error).__name__}: {str(error).splitlines()[0]}); fix another resolution"
        ) from error
