"""Commands that list what there is to search: spaces, and the published networks."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from narsfast.errors import UserError

from ._options import Json, flag, takes
from ._tables import print_table


def zoo(as_json: Json = False) -> None:
    """List the published networks with their statistics."""
    from narsfast.arch import zoo as definitions_by_name
    from narsfast.cost import STATISTICS, count_definitions

    definitions = definitions_by_name()
    table = count_definitions(list(definitions.values()), in_chans=3, num_classes=1000)
    columns = {
        "conv_macs": "macs",
        "flops_published": "flops_published",
        "params_all": "params",
        "params_published": "params_published",
    }
    rows = [
        {"name": name, "resolution": definition.resolution}
        | {key: int(row[STATISTICS.index(column)]) for key, column in columns.items()}
        for (name, definition), row in zip(definitions.items(), table, strict=True)
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
    else:
        print_table("Published networks", rows)


@takes("parents", "recipe_space", "fix")
def space(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[SPACE]", help="Name of a built-in space, or a YAML file. Without it, all are listed."
        ),
    ] = None,
    as_json: Json = False,
    **options: Any,
) -> None:
    """Check a space and show its fields and its exact size, or list the built-in spaces.

    With --parent, print the space around pretrained networks as a file, which `narsfast run --space` takes once edited.
    """
    from narsfast.space import load_space, with_recipe_space

    if "parents" in options:
        _print_children(name, as_json, options)
        return
    if name is None:
        if options:
            raise UserError(
                f"{next(iter(options))} is given without a space; name one, as in narsfast space tiny"
            )
        _list_spaces(as_json)
        return
    loaded = load_space(name)
    if "recipe_space" in options:
        loaded = with_recipe_space(loaded, options["recipe_space"])
    loaded = loaded.fix(options.get("fix", {}))
    if as_json:
        typer.echo(json.dumps({"name": loaded.name, "size": loaded.size(), "space": loaded.to_dict()}))
        return
    rows = [
        {"field": field.name, "part": field.part, "kind": field.kind, "values": _values(field.values)}
        for field in loaded.fields
    ]
    print_table(f"{loaded.name}: {loaded.size()} candidates", rows)


def _print_children(name: str | None, as_json: bool, options: dict[str, Any]) -> None:
    """Print the space around pretrained networks."""
    from narsfast.pipeline import children_space
    from narsfast.space import space_file, with_recipe_space

    if name is not None:
        raise UserError(f"parents and the space {name} are both given; leave one of them out")
    children = children_space(options["parents"])
    if "recipe_space" in options:
        children = with_recipe_space(children, options["recipe_space"])
    children = children.fix(options.get("fix", {}))
    if as_json:
        typer.echo(json.dumps({"name": children.name, "size": children.size(), "space": children.to_dict()}))
    else:
        typer.echo(space_file(children), nl=False)


def _list_spaces(as_json: bool) -> None:
    from narsfast.space import builtin_spaces, load_space, recipe_spaces

    spaces = [load_space(name) for name in builtin_spaces()]
    rows = [{"name": space.name, "fields": len(space.fields), "size": space.size()} for space in spaces]
    if as_json:
        typer.echo(json.dumps({"spaces": rows, "recipe_spaces": list(recipe_spaces())}))
        return
    print_table("Built-in spaces", [row | {"size": f"{row['size']:.1e}"} for row in rows])
    typer.echo(f"recipe spaces ({flag('recipe_space')}): {', '.join(recipe_spaces())}")
    typer.echo("published networks: narsfast zoo")


def _values(values: tuple[Any, ...]) -> str:
    shown = [str(value) for value in values]
    return ", ".join(shown) if len(shown) <= 6 else f"{shown[0]}, {shown[1]}, ... {shown[-1]}"
