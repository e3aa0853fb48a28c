"""The command that lists pretrained networks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer

from ._options import Json
from ._tables import print_table

if TYPE_CHECKING:
    from narsfast.arch import AvailableParent


def parents(as_json: Json = False) -> None:
    """List the pretrained networks that a search can start from: what is here, and what must be downloaded or installed.

    Any other network of timm and torchvision with weights can be named too, as timm:NAME or torchvision:NAME.
    """
    from narsfast.arch import available_parents

    rows = [_row(parent) for parent in available_parents()]
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    shown = [
        {
            "parent": row["reference"],
            "weights": row["state"],
            "side": row["resolution"] or "?",
            "MACs": "?" if row["macs"] is None else f"{row['macs'] / 1e6:,.0f}M",
            "params": "?" if row["params"] is None else f"{row['params'] / 1e6:.1f}M",
            "shrinks": "yes" if row["shrinks"] else "no",
            "license": row["license"] or "not stated",
            "where": row["source"],
        }
        for row in rows
    ]
    print_table("Parents", shown)
    typer.echo("shrinks: no = the network takes part whole, at any of the resolutions")


def _row(parent: AvailableParent) -> dict[str, Any]:
    cost = _cost(parent)
    return {
        "reference": parent.reference,
        "state": parent.state,
        "source": parent.source,
        "resolution": parent.resolution,
        "macs": cost.get("macs"),
        "params": cost.get("params"),
        "shrinks": parent.definition is not None,
        "license": parent.license,
    }


def _cost(parent: AvailableParent) -> dict[str, int]:
    """Count multiply-adds and parameters with 1000 classes; none where the library is not installed."""
    from narsfast.arch import NetworkSpec
    from narsfast.cost import STATISTICS, count_definitions, count_network

    if parent.definition is not None:
        side = parent.resolution or parent.definition.resolution
        (counted,) = count_definitions([parent.definition.model_copy(update={"resolution": side})])
        return dict(zip(STATISTICS, counted.tolist(), strict=True))
    if parent.resolution is None:
        return {}
    import torch

    library, _, name = parent.reference.partition(":")
    with torch.device("meta"):
        network = NetworkSpec(f"{library}:{name.partition('.')[0]}", parent.resolution).build(1000)
        return count_network(network, 3, parent.resolution, 1000)
